//! Making roll-ups of marked spans.
//!
//! What a span comes to is read first, without a lock, and written then if its
//! mark is still the one that was seen before: whatever touched the span in
//! between has marked it anew. A crash in between changes nothing.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;
use tidemill_totals::Totals;

use super::{
    level::{HOUR, HOURS, RollupLevel},
    marks::{Marked, QUIET, mark},
    plan::{MergeScope, ReadSegment, plan},
    read::each_rollup,
    standing::standing,
    steps::{self, FORMER},
};
use crate::{
    batch::AnswerSource,
    calendar::Zone,
    store::{
        Store,
        cells::{StoredCell, each_between, packed},
        sql::time,
    },
};

/// Spans that one step makes at most.
const SPANS: i64 = 32;
/// Cells after which a step reads no further span.
const CELLS: usize = 20_000;
/// Cells of one span. More take longer than a step may.
const CELLS_OF_SPAN: usize = 5_000_000;
/// Combinations of dimensions in one span. Of more, a roll-up would be about as
/// large as what it is of: their cells are read.
const COMBINATIONS: usize = 20_000;
/// Combinations in one row.
const PART: usize = 250;
/// When a span is looked at again that was not to be rolled up, in milliseconds
/// after it is touched.
const LATER: i64 = HOUR;
/// Rows of former days that one step deletes.
const FORGOTTEN: i64 = 200;

/// A mark that is due.
pub(super) struct DueMark {
    level: RollupLevel,
    metric: String,
    version: String,
    start: Timestamp,
    touched: i64,
    /// Whether its version is rolled up at all.
    is_begun: bool,
}

impl DueMark {
    /// Hours before days, and each as a fold marks them.
    fn place(&self) -> (bool, &str, &str, Timestamp) {
        (self.level != RollupLevel::Hour, &self.metric, &self.version, self.start)
    }
}

/// What becomes of a mark.
pub(super) enum Made {
    /// The roll-up is this, by row.
    Rows(Vec<String>),
    /// It has to wait until then.
    Later(i64),
    /// It is no use to roll this up.
    TooLarge,
    /// It is of no use: the version is not rolled up.
    Unused,
}

/// Why a span was not read to its end.
enum Unread {
    Store(Error),
    TooLarge,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Totals of one combination of dimensions, as far as they were read.
struct Combined {
    start: Timestamp,
    end: Timestamp,
    is_joined: bool,
    totals: Totals,
    source: AnswerSource,
}

impl Store {
    /// Makes some of the roll-ups that are due; answers how many marks it dealt
    /// with.
    pub(crate) async fn make_rollups(&self, shop: Zone, now: Timestamp) -> Result<usize, Error> {
        let made = self.read_due(shop, now).await?;
        self.write_made(shop, now, &made).await?;
        Ok(made.len())
    }

    /// The spans whose roll-up is not what their cells are.
    pub(crate) async fn rollups_waiting(&self) -> Result<u64, Error> {
        let count = sqlx::query("SELECT COUNT(*) FROM rollup_marks").fetch_one(self.database.pool()).await?;
        Ok(count.try_get::<i64, _>(0)?.cast_unsigned())
    }

    pub(super) async fn read_due(&self, shop: Zone, now: Timestamp) -> Result<Vec<(DueMark, Made)>, Error> {
        let (mut made, mut cells) = (Vec::new(), 0);
        for mark in self.due(shop, now).await? {
            if cells > CELLS {
                break;
            }
            let read =
                if mark.is_begun { self.read_span(&mark, shop, now, &mut cells).await } else { Ok(Made::Unused) };
            let outcome = match read {
                Ok(outcome) => outcome,
                Err(Unread::TooLarge) => Made::TooLarge,
                Err(Unread::Store(error)) => return Err(error),
            };
            made.push((mark, outcome));
        }
        // In the order of folds, so that none waits for one that waits for it.
        made.sort_by(|(a, _), (b, _)| a.place().cmp(&b.place()));
        Ok(made)
    }

    async fn due(&self, shop: Zone, now: Timestamp) -> Result<Vec<DueMark>, Error> {
        let day = RollupLevel::Day(shop).name();
        let marks = sqlx::query(
            "SELECT m.level, m.metric, m.version, m.span_start, m.touched, f.below FROM rollup_marks m
             LEFT JOIN rollup_frontiers f ON f.level = m.level AND f.metric = m.metric AND f.version = m.version
             WHERE m.due <= $1 AND (m.level = $2 OR m.level = $3) ORDER BY m.due LIMIT $4",
        );
        let marks = marks.bind(now.millis()).bind(HOURS).bind(day).bind(SPANS);
        let mark = |row: &AnyRow| {
            let level = if row.try_get::<&str, _>(0)? == HOURS { RollupLevel::Hour } else { RollupLevel::Day(shop) };
            let is_begun = row.try_get::<Option<i64>, _>(5)?.is_some();
            let (metric, version) = (row.try_get(1)?, row.try_get(2)?);
            let (start, touched) = (time(row.try_get(3)?), row.try_get(4)?);
            Ok(DueMark { level, metric, version, start, touched, is_begun })
        };
        marks.fetch_all(self.database.pool()).await?.iter().map(mark).collect()
    }

    /// What a span comes to.
    async fn read_span(&self, mark: &DueMark, shop: Zone, now: Timestamp, cells: &mut usize) -> Result<Made, Unread> {
        let of = (&*mark.metric, &*mark.version);
        let (from, to) = mark.level.span_of(mark.start);
        let mut combined: BTreeMap<String, Combined> = BTreeMap::new();
        let most = *cells + CELLS_OF_SPAN;
        let mut add = |cell: StoredCell<'_>| {
            *cells += 1;
            if *cells > most { Err(Unread::TooLarge) } else { combine(&mut combined, cell) }
        };
        let mut snapshot = self.database.snapshot().await?;
        if mark.level == RollupLevel::Hour {
            each_between(&mut snapshot, of, from, to, &mut add).await?;
        } else {
            let Some(mut standing) = standing(&mut snapshot, of, shop, from, to).await? else {
                return Ok(Made::Later(now.plus_millis(QUIET).millis()));
            };
            let first_hour = from.floor_to(HOUR);
            if standing.hours_from > first_hour || standing.stale_hours.range(first_hour..to).next().is_some() {
                return Ok(Made::Later(hours_due(&mut snapshot, of, first_hour, to, now).await?));
            }
            standing.days = None;
            for ReadSegment { level, from, to } in plan(from, to, HOUR, &standing, &MergeScope::Everything) {
                match level {
                    None => each_between(&mut snapshot, of, from, to, &mut add).await?,
                    Some(level) => each_rollup(&mut snapshot, level, of, from, to, &mut add).await?,
                }
            }
        }
        snapshot.rollback().await.map_err(Error::from)?;
        Ok(Made::Rows(rows(&combined)?))
    }

    pub(super) async fn write_made(&self, shop: Zone, now: Timestamp, made: &[(DueMark, Made)]) -> Result<(), Error> {
        let day = RollupLevel::Day(shop);
        if made.is_empty() && !self.has_former(&day.name()).await? {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        let step = steps::begin(&mut tx, &day.name()).await?;
        let mut days: Vec<Marked<'_>> = Vec::new();
        for (due, outcome) in made {
            let is_written = write(&mut tx, due, outcome, now).await?;
            if is_written && due.level == RollupLevel::Hour {
                let last = due.start.plus_millis(HOUR - 1);
                days.extend([due.start, last].map(|time| (&*due.metric, &*due.version, day.span_of(time).0)));
            }
        }
        days.sort_unstable();
        days.dedup();
        mark(&mut tx, &day.name(), &days, step.cast_signed(), now).await?;
        forget_former(&mut tx, &day.name()).await?;
        Ok(tx.commit().await?)
    }

    /// Whether there are roll-ups of days that nobody reads: another zone's, or
    /// those of former rules.
    async fn has_former(&self, day: &str) -> Result<bool, Error> {
        let former = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT 1 FROM rollups WHERE {FORMER} LIMIT 1")));
        Ok(former.bind(day.to_owned()).bind(HOURS).fetch_optional(self.database.pool()).await?.is_some())
    }
}

fn combine(combined: &mut BTreeMap<String, Combined>, cell: StoredCell<'_>) -> Result<(), Unread> {
    let StoredCell { start, end, is_joined, dimensions, totals, source } = cell;
    let Some(known) = combined.get_mut(dimensions) else {
        if combined.len() >= COMBINATIONS {
            return Err(Unread::TooLarge);
        }
        combined.insert(dimensions.to_owned(), Combined { start, end, is_joined, totals, source });
        return Ok(());
    };
    // What cannot be added is told to whoever asks, cell by cell.
    known.totals.add(&totals).map_err(|_| Unread::TooLarge)?;
    known.is_joined |= is_joined || start != known.start;
    known.start = known.start.min(start);
    known.end = known.end.max(end);
    known.source = known.source.and(source);
    Ok(())
}

fn rows(combined: &BTreeMap<String, Combined>) -> Result<Vec<String>, Error> {
    let cells = combined.iter().map(|(dimensions, combined)| {
        let Combined { start, end, is_joined, ref totals, source } = *combined;
        packed(&StoredCell { start, end, is_joined, dimensions, totals: totals.clone(), source })
    });
    let cells: Vec<String> = cells.collect::<Result<_, _>>()?;
    Ok(cells.chunks(PART).map(|part| part.join(",")).collect())
}

/// When the hours of a day may be right.
async fn hours_due(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<i64, Error> {
    let due = sqlx::query(
        "SELECT MAX(due) FROM rollup_marks WHERE level = $1 AND metric = $2 AND version = $3
         AND span_start >= $4 AND span_start < $5",
    );
    let due = due.bind(HOURS).bind(metric.to_owned()).bind(version.to_owned()).bind(from.millis()).bind(to.millis());
    let due: Option<i64> = due.fetch_one(connection).await?.try_get(0)?;
    Ok(due.unwrap_or_default().max(now.millis()).saturating_add(QUIET))
}

/// Writes what became of a mark, if it is as it was seen; answers whether there
/// is a new roll-up.
async fn write(connection: &mut AnyConnection, mark: &DueMark, made: &Made, now: Timestamp) -> Result<bool, Error> {
    const SEEN: &str = "level = $1 AND metric = $2 AND version = $3 AND span_start = $4 AND touched = $5";
    let sql = match made {
        Made::Rows(_) => format!("DELETE FROM rollup_marks WHERE {SEEN}"),
        Made::Unused => format!(
            "DELETE FROM rollup_marks WHERE {SEEN} AND NOT EXISTS
             (SELECT 1 FROM rollup_frontiers WHERE level = $1 AND metric = $2 AND version = $3)"
        ),
        Made::Later(_) | Made::TooLarge => format!("UPDATE rollup_marks SET due = $6, latest = $7 WHERE {SEEN}"),
    };
    let again = now.plus_millis(LATER).millis();
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(mark.level.name()).bind(mark.metric.clone());
    let statement = statement.bind(mark.version.clone()).bind(mark.start.millis()).bind(mark.touched);
    let statement = match made {
        Made::Rows(_) | Made::Unused => statement,
        Made::Later(due) => statement.bind(*due).bind(due.saturating_add(LATER)),
        Made::TooLarge => statement.bind(i64::MAX).bind(again),
    };
    let seen = statement.execute(&mut *connection).await?.rows_affected() > 0;
    match made {
        Made::Rows(rows) if seen => {
            replace(connection, mark, rows).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn replace(connection: &mut AnyConnection, mark: &DueMark, rows: &[String]) -> Result<(), Error> {
    let old = "DELETE FROM rollups WHERE level = $1 AND metric = $2 AND version = $3 AND span_start = $4";
    let name = mark.level.name();
    let old = sqlx::query(old).bind(name.clone()).bind(mark.metric.clone()).bind(mark.version.clone());
    old.bind(mark.start.millis()).execute(&mut *connection).await?;
    let end = mark.level.span_of(mark.start).1.millis();
    for (part, cells) in (0_i64..).zip(rows) {
        let row = sqlx::query(
            "INSERT INTO rollups (level, metric, version, span_start, part, span_end, cells)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        );
        let row = row.bind(name.clone()).bind(mark.metric.clone()).bind(mark.version.clone());
        let row = row.bind(mark.start.millis()).bind(part).bind(end).bind(cells.clone());
        row.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes some of the roll-ups of days that nobody reads.
async fn forget_former(connection: &mut AnyConnection, day: &str) -> Result<(), Error> {
    let sql = format!(
        "DELETE FROM rollups WHERE (level, metric, version, span_start, part) IN
         (SELECT level, metric, version, span_start, part FROM rollups WHERE {FORMER} LIMIT $3)"
    );
    let former = sqlx::query(sqlx::AssertSqlSafe(sql));
    former.bind(day.to_owned()).bind(HOURS).bind(FORGOTTEN).execute(connection).await?;
    Ok(())
}
