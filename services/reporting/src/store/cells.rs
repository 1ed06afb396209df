//! Cells, and the list of what changed in them.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;
use tidemill_totals::Totals;
use uuid::Uuid;

use super::{
    Store,
    sql::{BLOCK, Statement, numbered, time, unsigned, upsert},
};
use crate::{
    catalogue::Metric,
    read_model::{MergedCellKey, MetricsFold},
};

#[cfg(test)]
pub(super) mod tests;

/// Cells that a change lists at most. A larger one lists none.
const LISTED: usize = 2000;
/// Changes that are kept: a minute of them and more, for replicas that look
/// every second.
const CHANGES_KEPT: u64 = 300;

/// The cells of one window in one row: to fetch a row costs more than a cell.
const PACKED_CELLS: &str = r#"SELECT window_start, window_end,
    string_agg('{"d":' || dimensions || ',"t":' || totals || '}', ',') FROM cells WHERE metric = $1 AND version = $2
    AND retracted = 0"#;

#[derive(Deserialize)]
struct PackedCell<'a> {
    #[serde(borrow)]
    d: &'a RawValue,
    t: Totals,
    /// Of a roll-up: the first instant of its first window, and the first after
    /// its last.
    #[serde(default)]
    s: Option<i64>,
    #[serde(default)]
    e: Option<i64>,
    /// Of a roll-up: whether it is of several windows.
    #[serde(default)]
    j: bool,
}

/// Totals of one partition in one window, as they are stored; or rolled up, of
/// all partitions in several windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCell<'a> {
    /// First instant of the window, or of the first.
    pub(crate) start: Timestamp,
    /// First instant after it, or after the last.
    pub(crate) end: Timestamp,
    /// Whether it is of several windows.
    pub(crate) is_joined: bool,
    /// The dimensions' canonical JSON.
    pub(crate) dimensions: &'a str,
    /// States by measure.
    pub(crate) totals: Totals,
}

/// Cells that one fold changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellChange {
    /// Changes are numbered without gaps.
    pub(crate) number: u64,
    /// The cells; `None` where they are too many to list.
    pub(crate) cells: Option<Vec<MergedCellKey>>,
}

/// Writes gathered totals. What is stored and reaches further stays.
pub(super) async fn write(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<(), Error> {
    let mut cells = Vec::with_capacity(fold.cells.len());
    for ((key, partition), state) in &fold.cells {
        let totals = serde_json::to_string(&state.totals).map_err(|_| Error::Malformed("total"))?;
        cells.push((key, partition, state, totals));
    }
    upsert(
        connection,
        "cells (metric, version, window_start, dimensions_id, shard, window_end, dimensions, raw_seq, totals,
         retracted)",
        10,
        // The end too: a session grows.
        "(metric, version, window_start, dimensions_id, shard) DO UPDATE SET window_end = excluded.window_end,
         raw_seq = excluded.raw_seq, totals = excluded.totals, retracted = excluded.retracted
         WHERE excluded.raw_seq > cells.raw_seq",
        &cells,
        |statement, (key, partition, state, totals)| {
            statement
                .bind(key.metric.to_string())
                .bind(key.version.to_string())
                .bind(key.start.millis())
                .bind(dimensions_id(&key.dimensions))
                .bind(i64::from(partition.index()))
                .bind(state.end.millis())
                .bind(key.dimensions.to_string())
                .bind(state.raw_seq.cast_signed())
                .bind(totals.clone())
                .bind(i64::from(state.retracted))
        },
    )
    .await
}

/// Notes which cells a fold changes, and forgets old notes; answers the number
/// of the note. The fold holds its unit's position, so the numbers have no
/// gaps.
pub(super) async fn note_change(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<Option<u64>, Error> {
    let changed = fold.changed();
    if changed.is_empty() {
        return Ok(None);
    }
    let listed = match changed.len() <= LISTED {
        true => {
            let cells: Vec<_> =
                changed.iter().map(|key| (&*key.metric, &*key.version, key.start.millis(), &*key.dimensions)).collect();
            serde_json::to_string(&cells).map_err(|_| Error::Malformed("change"))?
        }
        false => String::new(),
    };
    let number = sqlx::query(
        "INSERT INTO changes (number, cells) SELECT COALESCE(MAX(number), 0) + 1, $1 FROM changes RETURNING number",
    )
    .bind(listed)
    .fetch_one(&mut *connection)
    .await?;
    let number = unsigned(&number, 0)?;
    sqlx::query("DELETE FROM changes WHERE number <= $1")
        .bind(number.saturating_sub(CHANGES_KEPT).cast_signed())
        .execute(connection)
        .await?;
    Ok(Some(number))
}

impl Store {
    /// The number of the last change to cells.
    pub(super) async fn last_change(&self) -> Result<u64, Error> {
        let newest = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM changes");
        unsigned(&newest.fetch_one(self.database.pool()).await?, 0)
    }

    /// The changes to cells after one of them, in their order.
    pub(crate) async fn changes_after(&self, number: u64) -> Result<Vec<CellChange>, Error> {
        let rows = sqlx::query("SELECT number, cells FROM changes WHERE number > $1 ORDER BY number")
            .bind(number.cast_signed())
            .fetch_all(self.database.pool())
            .await?;
        let change = |row: &AnyRow| {
            let cells = match row.try_get::<&str, _>(1)? {
                "" => None,
                listed => Some(listed_cells(listed)?),
            };
            Ok(CellChange { number: unsigned(row, 0)?, cells })
        };
        rows.iter().map(change).collect()
    }

    /// The starts of the first and the last window of a metric's version.
    pub(crate) async fn extent(&self, metric: &Metric) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        extent(&mut *self.database.pool().acquire().await?, (&metric.name, &metric.version)).await
    }

    /// Calls `visit` with every cell of a metric's version whose window starts
    /// between `from` and `to` (exclusive), window by window, earliest first.
    pub(crate) async fn each_cell<E: From<Error>>(
        &self,
        metric: &Metric,
        from: Timestamp,
        to: Timestamp,
        visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut connection = self.database.pool().acquire().await.map_err(Error::from)?;
        each_between(&mut connection, (&metric.name, &metric.version), from, to, visit).await
    }

    /// Calls `visit` with every cell of a metric's version whose window starts
    /// at one of `starts`, in their order.
    pub(crate) async fn each_cell_at<E: From<Error>>(
        &self,
        metric: &Metric,
        starts: &BTreeSet<Timestamp>,
        mut visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let starts: Vec<i64> = starts.iter().map(|start| start.millis()).collect();
        let mut connection = self.database.pool().acquire().await.map_err(Error::from)?;
        for block in starts.chunks(BLOCK) {
            let sql = format!(
                "{PACKED_CELLS} AND window_start IN ({}) GROUP BY window_start, window_end ORDER BY window_start",
                numbered(3, block.len())
            );
            let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.name.clone()).bind(metric.version.clone());
            let statement = block.iter().fold(statement.persistent(false), |statement, start| statement.bind(*start));
            unpack(&mut connection, statement, &mut visit).await?;
        }
        Ok(())
    }
}

/// The starts of the first and the last window of a version, which is named by
/// its metric and itself.
pub(super) async fn extent(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    // One statement for each end: together they would read the whole index.
    let end = |order: &str| {
        format!(
            "(SELECT window_start FROM cells WHERE metric = $1 AND version = $2 ORDER BY window_start {order} LIMIT 1)"
        )
    };
    let sql = format!("SELECT {}, {}", end("ASC"), end("DESC"));
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.to_owned()).bind(version.to_owned());
    let row = statement.fetch_one(connection).await?;
    let ends: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(ends.0.zip(ends.1).map(|(first, last)| (time(first), time(last))))
}

/// Calls `visit` with every cell whose window starts between `from` and `to`
/// (exclusive), window by window, earliest first.
pub(super) async fn each_between<E: From<Error>>(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
    from: Timestamp,
    to: Timestamp,
    visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let sql = format!(
        "{PACKED_CELLS} AND window_start >= $3 AND window_start < $4
         GROUP BY window_start, window_end ORDER BY window_start"
    );
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.to_owned()).bind(version.to_owned());
    unpack(connection, statement.bind(from.millis()).bind(to.millis()), visit).await
}

/// Calls `visit` with the cells in the rows of a statement: a first instant, the
/// first after it, and cells as JSON without brackets.
pub(super) async fn unpack<E: From<Error>>(
    connection: &mut AnyConnection,
    statement: Statement<'_>,
    mut visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = statement.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(Error::from)? {
        let number = |column: usize| row.try_get(column).map(time).map_err(Error::from);
        let (start, end) = (number(0)?, number(1)?);
        let packed = format!("[{}]", row.try_get::<&str, _>(2).map_err(Error::from)?);
        let cells: Vec<PackedCell<'_>> = serde_json::from_str(&packed).map_err(|_| Error::Malformed("total"))?;
        for PackedCell { d, t, s, e, j } in cells {
            let (start, end) = (s.map_or(start, time), e.map_or(end, time));
            visit(StoredCell { start, end, is_joined: j, dimensions: d.get(), totals: t })?;
        }
    }
    Ok(())
}

/// A cell as [`unpack`] reads it, rolled up.
pub(super) fn packed(cell: &StoredCell<'_>) -> Result<String, Error> {
    let StoredCell { start, end, is_joined, dimensions, totals } = cell;
    let totals = serde_json::to_string(totals).map_err(|_| Error::Malformed("total"))?;
    let (start, end) = (start.millis(), end.millis());
    Ok(format!(r#"{{"d":{dimensions},"t":{totals},"s":{start},"e":{end},"j":{is_joined}}}"#))
}

fn listed_cells(listed: &str) -> Result<Vec<MergedCellKey>, Error> {
    let cells: Vec<(String, String, i64, String)> =
        serde_json::from_str(listed).map_err(|_| Error::Malformed("change"))?;
    let key = |(metric, version, start, dimensions): (String, String, i64, String)| MergedCellKey {
        metric: metric.into(),
        version: version.into(),
        start: time(start),
        dimensions: dimensions.into(),
    };
    Ok(cells.into_iter().map(key).collect())
}

/// The key of dimensions: their text may be of any length, this fits any index.
fn dimensions_id(canonical: &str) -> Vec<u8> {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, canonical.as_bytes()).as_bytes().to_vec()
}
