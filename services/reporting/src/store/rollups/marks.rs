//! Marks: spans whose roll-up is not what their cells are.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    level::{HOUR, HOURS},
    steps::MARKED,
};
use crate::{
    read_model::{MetricsFold, WindowStates},
    store::sql::upsert,
    unit::SequenceRange,
};

/// How long a span is left alone after it was touched, in milliseconds.
pub(super) const QUIET: i64 = 60_000;
/// How long one waits that is touched all the time.
const SLOW_BEAT: i64 = HOUR;

/// A span that is to be marked: of a metric and its version, its first instant.
pub(super) type Marked<'a> = (&'a str, &'a str, Timestamp);

/// Marks spans of a level as touched. `touched` must be a number that no mark
/// of the level has ever had.
pub(super) async fn mark(
    connection: &mut AnyConnection,
    level: &str,
    spans: &[Marked<'_>],
    touched: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let conflict = "(level, metric, version, span_start) DO UPDATE SET touched = excluded.touched,
        due = CASE WHEN excluded.due < rollup_marks.latest THEN excluded.due ELSE rollup_marks.latest END";
    write(
        connection,
        level,
        spans,
        [touched, now.plus_millis(QUIET).millis(), now.plus_millis(SLOW_BEAT).millis()],
        conflict,
    )
    .await
}

/// Marks spans of a level that have no mark, to be rolled up at once.
pub(super) async fn mark_unmarked(
    connection: &mut AnyConnection,
    level: &str,
    spans: &[Marked<'_>],
    touched: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let latest = now.plus_millis(SLOW_BEAT).millis();
    let conflict = "(level, metric, version, span_start) DO NOTHING";
    write(connection, level, spans, [touched, now.millis(), latest], conflict).await
}

async fn write(
    connection: &mut AnyConnection,
    level: &str,
    spans: &[Marked<'_>],
    [touched, due, latest]: [i64; 3],
    conflict: &str,
) -> Result<(), Error> {
    let table = "rollup_marks (level, metric, version, span_start, touched, due, latest)";
    upsert(connection, table, 7, conflict, spans, |statement, (metric, version, start)| {
        let statement = statement.bind(level.to_owned()).bind((*metric).to_owned()).bind((*version).to_owned());
        statement.bind(start.millis()).bind(touched).bind(due).bind(latest)
    })
    .await
}

/// Marks the hours that a fold touches, in its transaction. `change` is the
/// number of its change to cells, and `range.after` what was folded before it.
pub(in crate::store) async fn note_fold(
    connection: &mut AnyConnection,
    range: SequenceRange,
    fold: &MetricsFold,
    change: Option<u64>,
    now: Timestamp,
) -> Result<(), Error> {
    let floor = range.after;
    if marked(connection).await? != Some(floor) {
        // A release that knows no marks has folded in between: nobody knows what.
        sqlx::query("UPDATE rollup_frontiers SET below = $1 WHERE level = $2")
            .bind(i64::MAX)
            .bind(HOURS)
            .execute(&mut *connection)
            .await?;
    }
    mark_fold(connection, fold, change, now).await?;
    sqlx::query(
        "INSERT INTO rollup_state (name, number) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET number = excluded.number",
    )
    .bind(MARKED)
    .bind(floor.max(range.last).cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

/// The unit of the metrics goes on from `end`, and not from where it was: nothing was folded
/// that no mark is known of.
pub(in crate::store) async fn go_back(connection: &mut AnyConnection, reached: u64, end: u64) -> Result<(), Error> {
    sqlx::query("UPDATE rollup_state SET number = $1 WHERE name = $2 AND number = $3")
        .bind(end.cast_signed())
        .bind(MARKED)
        .bind(reached.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks the hours that a fold of any stream touches.
pub(in crate::store) async fn mark_fold(
    connection: &mut AnyConnection,
    fold: &MetricsFold,
    change: Option<u64>,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(change) = change {
        let mut hours: BTreeSet<Marked<'_>> = BTreeSet::new();
        for ((metric, version), windows) in fold.cells.versions() {
            let is_short = |start: Timestamp, cells: &WindowStates| {
                cells.values().any(|state| state.end.millis().saturating_sub(start.millis()) <= HOUR)
            };
            let touched = windows.iter().filter(|(start, cells)| is_short(**start, cells));
            hours.extend(touched.map(|(start, _)| (&**metric, &**version, start.floor_to(HOUR))));
        }
        mark(connection, HOURS, &hours.into_iter().collect::<Vec<_>>(), change.cast_signed(), now).await?;
    }
    Ok(())
}

async fn marked(connection: &mut AnyConnection) -> Result<Option<u64>, Error> {
    let row = sqlx::query("SELECT number FROM rollup_state WHERE name = $1").bind(MARKED);
    let row = row.fetch_optional(connection).await?;
    row.map(|row| Ok(row.try_get::<i64, _>(0)?.cast_unsigned())).transpose()
}
