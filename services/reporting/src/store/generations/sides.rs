//! The cells of two versions side by side.

use std::collections::BTreeMap;

use sqlx::{Any, AnyConnection, Row, Transaction, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;
use tidemill_totals::TotalsShape;

use crate::{
    generations::{SideCell, WindowSides},
    store::{
        Store,
        cells::{CellLine, lines},
        kept::kept_of,
        sql::{partition, time, unsigned},
    },
};

const PACKED: &str = "SELECT version, window_start, states, cells FROM packed_cells WHERE metric = $1
    AND version IN ($2, $3, $2 || '@batch') AND window_start BETWEEN $4 AND $5";
const UNPACKED: &str = "SELECT version, window_start, dimensions, shard, window_end, raw_seq, totals, retracted
    FROM unpacked_cells WHERE metric = $1 AND version IN ($2, $3) AND window_start BETWEEN $4 AND $5";
/// Windows that are read at once.
const WINDOWS: i64 = 64;

/// The read model at one moment, to compare a generation with the live totals.
pub(crate) struct ComparedModel {
    snapshot: Transaction<'static, Any>,
    /// How far both sides have counted, by partition.
    pub(crate) at: BTreeMap<Partition, u64>,
}

impl Store {
    /// The read model as it is now.
    pub(crate) async fn compared(&self, generation: &str) -> Result<ComparedModel, Error> {
        let mut snapshot = self.database.snapshot().await?;
        let live = sqlx::query("SELECT shard, raw_seq FROM progress").fetch_all(&mut *snapshot).await?;
        let of_it = super::progress(&mut snapshot, generation).await?;
        let both = |row: &AnyRow| {
            let partition = partition(row.try_get(0)?)?;
            let there = of_it.get(&partition).map_or(0, |progress| progress.raw_seq);
            Ok((partition, unsigned(row, 1)?.min(there)))
        };
        let at = live.iter().map(both).collect::<Result<_, Error>>()?;
        Ok(ComparedModel { snapshot, at })
    }
}

impl ComparedModel {
    /// Calls `visit` with every window of a metric that one of two versions has, in the
    /// order of time. Without a live version, that side is empty.
    pub(crate) async fn each_window<E: From<Error>>(
        &mut self,
        metric: &str,
        live: Option<&str>,
        generation: &str,
        mut visit: impl FnMut(&WindowSides) -> Result<(), E>,
    ) -> Result<(), E> {
        let versions = (metric, live.unwrap_or_default(), generation);
        // What the live version does not keep is not compared.
        let kept = kept_of(&mut self.snapshot, (metric, versions.1)).await?;
        let mut after = kept.map(|kept| kept.millis().saturating_sub(1));
        while let Some((first, last)) = next_windows(&mut self.snapshot, versions, after).await? {
            for window in read(&mut self.snapshot, versions, first, last).await?.values() {
                visit(window)?;
            }
            after = Some(last);
        }
        Ok(())
    }
}

/// The first and the last of the next windows.
async fn next_windows(
    connection: &mut AnyConnection,
    (metric, live, generation): (&str, &str, &str),
    after: Option<i64>,
) -> Result<Option<(i64, i64)>, Error> {
    let of = |table: &str| {
        format!(
            "SELECT window_start FROM (SELECT DISTINCT window_start FROM {table} WHERE metric = $1
             AND version IN ($2, $3, $2 || '@batch') AND window_start > $4 ORDER BY window_start LIMIT {WINDOWS}) AS of_{table}"
        )
    };
    let sql = format!(
        "SELECT MIN(window_start), MAX(window_start) FROM (SELECT DISTINCT window_start FROM
         ({} UNION ALL {}) AS all_windows ORDER BY window_start LIMIT {WINDOWS}) AS windows",
        of("packed_cells"),
        of("unpacked_cells")
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(metric.to_owned()).bind(live.to_owned());
    let row = query.bind(generation.to_owned()).bind(after.unwrap_or(i64::MIN)).fetch_one(connection).await?;
    let ends: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(ends.0.zip(ends.1))
}

async fn read(
    connection: &mut AnyConnection,
    (metric, live, generation): (&str, &str, &str),
    first: i64,
    last: i64,
) -> Result<BTreeMap<Timestamp, WindowSides>, Error> {
    let mut windows = BTreeMap::new();
    let query = |sql: &'static str| {
        let query = sqlx::query(sql).bind(metric.to_owned()).bind(live.to_owned()).bind(generation.to_owned());
        query.bind(first).bind(last)
    };
    for row in &query(PACKED).fetch_all(&mut *connection).await? {
        let (version, start): (&str, Timestamp) = (row.try_get(0)?, time(row.try_get(1)?));
        let shape: TotalsShape = serde_json::from_str(row.try_get(2)?).map_err(|_| Error::Malformed("states"))?;
        for line in lines(row.try_get(3)?) {
            let line: CellLine<'_> = line?;
            let cell = SideCell { end: line.end, raw_seq: line.raw_seq, totals: line.totals(&shape)? };
            let key = (line.dimensions.to_owned(), line.partition());
            put(&mut windows, CellSide::of(version, live, generation), start, key, cell);
        }
    }
    for row in &query(UNPACKED).fetch_all(&mut *connection).await? {
        let (version, start): (&str, Timestamp) = (row.try_get(0)?, time(row.try_get(1)?));
        let key = (row.try_get(2)?, partition(row.try_get(3)?)?);
        let totals = serde_json::from_str(row.try_get(6)?).map_err(|_| Error::Malformed("total"))?;
        let totals = Some(totals).filter(|_| matches!(row.try_get::<i64, _>(7), Ok(0)));
        let cell = SideCell { end: time(row.try_get(4)?), raw_seq: unsigned(row, 5)?, totals };
        put(&mut windows, CellSide::of(version, live, generation), start, key, cell);
    }
    Ok(windows)
}

/// Of which side a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellSide {
    Generation,
    Live,
    /// The live side's, as a batch view has it.
    Batch,
}

impl CellSide {
    fn of(version: &str, live: &str, generation: &str) -> Self {
        match version {
            of_it if of_it == generation => Self::Generation,
            of_it if of_it == live => Self::Live,
            _ => Self::Batch,
        }
    }
}

/// Of what the stream and a batch view have, that which reaches further is compared, and the view's where both reach as
/// far: as answers have it ([`tidemill_totals::furthest`]).
fn put(
    windows: &mut BTreeMap<Timestamp, WindowSides>,
    of: CellSide,
    start: Timestamp,
    key: (String, Partition),
    cell: SideCell,
) {
    let none = || WindowSides { start, live: BTreeMap::new(), generation: BTreeMap::new() };
    let window = windows.entry(start).or_insert_with(none);
    let side = if of == CellSide::Generation { &mut window.generation } else { &mut window.live };
    let reaches_further = |known: &SideCell| (cell.raw_seq, of == CellSide::Batch) > (known.raw_seq, false);
    if side.get(&key).is_none_or(reaches_further) {
        side.insert(key, cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_reaches_as_far_the_view_is_compared() {
        // Ends tell the cells apart.
        let cell = |raw_seq, end| SideCell { end: Timestamp::saturating_from_millis(end), raw_seq, totals: None };
        let stream = (CellSide::of("v", "v", "v@g"), cell(7, 1));
        let view = |raw_seq| (CellSide::of("v@batch", "v", "v@g"), cell(raw_seq, 2));
        for (cells, expected) in [
            ([stream.clone(), view(7)], 2),
            ([view(7), stream.clone()], 2),
            ([stream.clone(), view(6)], 1),
            ([view(6), stream.clone()], 1),
            ([stream.clone(), view(8)], 2),
            ([view(8), stream], 2),
        ] {
            let mut windows = BTreeMap::new();
            let key = ("{}".to_owned(), Partition::new(0));
            for (of, cell) in cells {
                put(&mut windows, of, Timestamp::EPOCH, key.clone(), cell);
            }
            let window = &windows[&Timestamp::EPOCH];
            assert_eq!(window.live[&key].end.millis(), expected);
            assert!(window.generation.is_empty());
        }
    }
}
