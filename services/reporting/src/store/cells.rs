//! Window totals, as they are stored and read.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;
use tidemill_totals::Totals;

use super::{
    Store,
    kept::IS_KEPT,
    sql::{BATCH, BLOCK, Statement, numbered, time, unsigned},
};
use crate::{batch::AnswerSource, catalogue::Metric};

mod cell;
mod land;
mod lines;
mod states;
#[cfg(test)]
pub(super) mod tests;
mod unpacked;
mod window;
mod write;

pub(crate) use self::cell::StoredCell;
use self::cell::{KnownShape, text};
pub(super) use self::land::{BatchWriter, WindowScope};
pub(super) use self::lines::{CellLine, lines};
use self::window::StoredWindow;
pub(super) use write::write;

/// Whose a row of cells is: the stream's, or a batch view's.
const SPEED: &str = "CAST(0 AS BIGINT)";
const VIEWED: &str = "CAST(1 AS BIGINT)";

/// Rows of cells that are kept: those of one window, or some of them, in each.
fn rows_of(range: &str) -> String {
    let of = format!("metric = $1 AND version = $2 AND {range} AND {IS_KEPT}");
    let of_batch = format!("metric = $1 AND version = $2 || '{BATCH}' AND {range} AND {IS_KEPT}");
    format!(
        r#"SELECT window_start, window_end, '' AS states,
         string_agg('{{"d":' || dimensions || ',"t":' || totals || '}}', ',') AS cells, {SPEED} AS origin
         FROM unpacked_cells WHERE retracted = 0 AND {of} GROUP BY window_start, window_end
         UNION ALL SELECT window_start, window_start, states, cells, {SPEED} FROM packed_cells WHERE {of}
         UNION ALL SELECT window_start, window_start, states, cells, {VIEWED} FROM packed_cells WHERE {of_batch}
         ORDER BY window_start"#
    )
}

/// The outermost start of a window that is kept in each table, as a table: the first by `order`.
pub(super) fn outermost(order: &str, range: &str) -> String {
    let of = |table: &str| {
        format!(
            "SELECT * FROM (SELECT window_start FROM {table} WHERE metric = $1 AND version = $2 {range} AND {IS_KEPT}
             ORDER BY window_start {order} LIMIT 1) AS {table}_end"
        )
    };
    let of_batch = of("packed_cells").replace("version = $2", &format!("version = $2 || '{BATCH}'"));
    let of_batch = of_batch.replace("packed_cells_end", "batch_end");
    format!("({} UNION ALL {} UNION ALL {of_batch}) AS ends", of("unpacked_cells"), of("packed_cells"))
}

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
    /// Of a roll-up: where it comes from.
    #[serde(default)]
    o: AnswerSource,
}

impl Store {
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
            let sql = rows_of(&format!("window_start IN ({})", numbered(3, block.len())));
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
    let (first, last) = (outermost("ASC", ""), outermost("DESC", ""));
    let sql = format!("SELECT (SELECT MIN(window_start) FROM {first}), (SELECT MAX(window_start) FROM {last})");
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
    let sql = rows_of("window_start >= $3 AND window_start < $4");
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.to_owned()).bind(version.to_owned());
    unpack(connection, statement.bind(from.millis()).bind(to.millis()), visit).await
}

/// The position and the totals of some of the newest cells, with the start of their
/// window.
pub(super) async fn newest(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
    most: usize,
) -> Result<Vec<(Timestamp, u64, Totals)>, Error> {
    const UNPACKED: &str = "SELECT window_start, raw_seq, totals FROM unpacked_cells
        WHERE metric = $1 AND version = $2 AND retracted = 0 ORDER BY window_start DESC LIMIT $3";
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let unpacked = sqlx::query(UNPACKED).bind(metric.to_owned()).bind(version.to_owned()).bind(limit);
    let mut newest = Vec::new();
    for row in unpacked.fetch_all(&mut *connection).await? {
        let totals = serde_json::from_str(row.try_get(2)?).map_err(|_| Error::Malformed("total"))?;
        newest.push((time(row.try_get(0)?), unsigned(&row, 1)?, totals));
    }
    for version in [version.to_owned(), format!("{version}{BATCH}")] {
        newest_packed(connection, (metric, version), most, &mut newest).await?;
    }
    Ok(newest)
}

async fn newest_packed(
    connection: &mut AnyConnection,
    (metric, version): (&str, String),
    most: usize,
    newest: &mut Vec<(Timestamp, u64, Totals)>,
) -> Result<(), Error> {
    const PACKED: &str = "SELECT window_start, states, cells FROM packed_cells
        WHERE metric = $1 AND version = $2 ORDER BY window_start DESC LIMIT $3";
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut shapes = KnownShape::default();
    let mut rows = sqlx::query(PACKED).bind(metric.to_owned()).bind(version).bind(limit).fetch(connection);
    let mut left = most;
    while left > 0
        && let Some(row) = rows.try_next().await?
    {
        let (start, shape) = (time(row.try_get(0)?), shapes.read(row.try_get(1)?)?);
        for line in lines(row.try_get(2)?) {
            let line = line?;
            newest.extend(line.totals(shape)?.map(|totals| (start, line.raw_seq, totals)));
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

/// Calls `visit` with the cells in the rows of a statement: a first instant, the
/// first after it, and either the kinds of totals and cells in lines, or nothing
/// and cells as JSON without brackets.
pub(super) async fn unpack<E: From<Error>>(
    connection: &mut AnyConnection,
    statement: Statement<'_>,
    mut visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = statement.fetch(connection);
    let mut shapes = KnownShape::default();
    let mut window = StoredWindow::default();
    while let Some(row) = rows.try_next().await.map_err(Error::from)? {
        let start = time(row.try_get(0).map_err(Error::from)?);
        let (states, cells): (&str, &str) = (text(&row, 2)?, text(&row, 3)?);
        if states.is_empty() {
            let end = time(row.try_get(1).map_err(Error::from)?);
            each_packed(start, end, cells, &mut visit)?;
            continue;
        }
        if window.start() != Some(start) {
            window.take().visit(&mut shapes, &mut visit)?;
        }
        window.push(start, row)?;
    }
    window.visit(&mut shapes, &mut visit)
}

fn each_packed<E: From<Error>>(
    start: Timestamp,
    end: Timestamp,
    cells: &str,
    visit: &mut impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let packed = format!("[{cells}]");
    let cells: Vec<PackedCell<'_>> = serde_json::from_str(&packed).map_err(|_| Error::Malformed("total"))?;
    for PackedCell { d, t, s, e, j, o } in cells {
        let (start, end) = (s.map_or(start, time), e.map_or(end, time));
        visit(StoredCell { start, end, is_joined: j, dimensions: d.get(), totals: t, source: o })?;
    }
    Ok(())
}

/// A cell as [`unpack`] reads it, rolled up.
pub(super) fn packed(cell: &StoredCell<'_>) -> Result<String, Error> {
    let StoredCell { start, end, is_joined, dimensions, totals, source } = cell;
    let totals = serde_json::to_string(totals).map_err(|_| Error::Malformed("total"))?;
    let (start, end) = (start.millis(), end.millis());
    // Releases that know no batch views write no origin.
    let origin = if *source == AnswerSource::Speed { String::new() } else { format!(r#","o":"{}""#, source.as_str()) };
    Ok(format!(r#"{{"d":{dimensions},"t":{totals},"s":{start},"e":{end},"j":{is_joined}{origin}}}"#))
}
