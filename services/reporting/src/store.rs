//! The read model's tables.

mod dead_letters;

pub use dead_letters::{Found, Page, ToDelete, ToSend};

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::AlertTransition;
use tidemill_store::{Config, Database, Error, placeholders};
use tidemill_totals::Totals;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::{
    alerts::Alert,
    books::{self, Entry, Intake, Line},
    catalogue::{Metric, Version},
    dead_letters::Letter,
    read_model::{CellKey, MetricsFold},
    unit::{SequenceRange, Unit},
    watermark::{Progress, Watermarks},
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Rows that one statement writes. Full blocks share a prepared statement.
const BLOCK: usize = 250;

type Statement<'q> = sqlx::query::Query<'q, Any, <Any as sqlx::Database>::Arguments>;

/// The read model's database.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// SQLite has one writer; taking turns here is fair, its own waiting is not.
    turn: Mutex<()>,
}

/// Totals of one partition, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell<'a> {
    /// First instant of the window.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// The dimensions' canonical JSON.
    pub dimensions: &'a str,
    /// States by measure.
    pub totals: Totals,
}

/// Cells that a change lists; one of more says only that it is one.
const LISTED: usize = 2000;
/// Changes that are kept: a minute of them and more, for replicas that look
/// every second.
const CHANGES_KEPT: u64 = 300;
/// Alerts that a replica is told of at once.
const ALERTS_AT_ONCE: i64 = 500;

/// The cells of one window in one row: a row's way out of the database costs
/// more than a cell's.
const PACKED_CELLS: &str = r#"SELECT window_start, window_end,
    string_agg('{"d":' || dimensions || ',"t":' || totals || '}', ',') FROM cells WHERE metric = $1 AND version = $2
    AND retracted = 0"#;

#[derive(Deserialize)]
struct PackedCell<'a> {
    #[serde(borrow)]
    d: &'a RawValue,
    t: Totals,
}

/// Where the read model stood when it was last written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The partitions' progress.
    pub watermarks: Watermarks,
    /// When the newest update was folded.
    pub as_of: Option<Timestamp>,
    /// The stream sequence that each unit has reached, by name.
    pub reached: BTreeMap<String, u64>,
    /// The number of the last change to cells.
    pub change: u64,
}

/// Cells that one fold changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Changes are numbered without gaps.
    pub number: u64,
    /// The cells; `None` where they are too many to list.
    pub cells: Option<Vec<CellKey>>,
}

impl Store {
    /// Opens the database, its schema up to date.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await?, turn: Mutex::default() })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(self.database.pool()).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn begin(&self) -> Result<(MutexGuard<'_, ()>, sqlx::Transaction<'static, Any>), Error> {
        let turn = self.turn.lock().await;
        Ok((turn, self.database.begin().await?))
    }

    /// Remembers definitions, so that their data stays readable once they change.
    pub async fn save_definitions(&self, metrics: impl Iterator<Item = &Metric>) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        for metric in metrics {
            let json = serde_json::to_string(metric).map_err(|_| Error::Malformed("definition"))?;
            sqlx::query(
                "INSERT INTO versions (metric, version, definition, data_since) VALUES ($1, $2, $3, 0)
                 ON CONFLICT (metric, version) DO UPDATE SET definition = excluded.definition",
            )
            .bind(&metric.name)
            .bind(&metric.version)
            .bind(json)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Every version of every metric that is known.
    pub async fn versions(&self) -> Result<Vec<Version>, Error> {
        let rows = sqlx::query("SELECT metric, version, definition, data_since FROM versions")
            .fetch_all(self.database.pool())
            .await?;
        let version = |row: &AnyRow| {
            let definition: String = row.try_get(2)?;
            let data_since: i64 = row.try_get(3)?;
            Ok(Version {
                metric: row.try_get(0)?,
                version: row.try_get(1)?,
                definition: match definition.as_str() {
                    "" => None,
                    json => Some(serde_json::from_str(json).map_err(|_| Error::Malformed("definition"))?),
                },
                data_since: (data_since != 0).then(|| time(data_since)),
            })
        };
        rows.iter().map(version).collect()
    }

    /// Where the read model stands.
    pub async fn standing(&self) -> Result<Standing, Error> {
        let mut standing = Standing::default();
        let rows = sqlx::query("SELECT shard, raw_seq, as_of, part, watermark, idle, folded_at FROM progress")
            .fetch_all(self.database.pool())
            .await?;
        for row in rows {
            let watermark: Option<i64> = row.try_get(4)?;
            let progress = Progress {
                raw_seq: unsigned(&row, 1)?,
                as_of: time(row.try_get(2)?),
                part: u32::try_from(row.try_get::<i64, _>(3)?).map_err(|_| Error::Malformed("part"))?,
                watermark: watermark.map(time),
                idle: row.try_get::<i64, _>(5)? != 0,
            };
            standing.watermarks.observe(partition(row.try_get(0)?)?, progress);
            standing.as_of = standing.as_of.max(Some(time(row.try_get(6)?)));
        }
        let rows = sqlx::query("SELECT name, sequence FROM positions").fetch_all(self.database.pool()).await?;
        for row in rows {
            let (name, sequence): (&str, u64) = (row.try_get(0)?, unsigned(&row, 1)?);
            if let Some(shard) = name.strip_prefix(PARTITION_PREFIX) {
                let shard = shard.parse().map_err(|_| Error::Malformed("partition"))?;
                standing.watermarks.received(partition(shard)?, sequence);
            } else {
                standing.reached.insert(name.to_owned(), sequence);
            }
        }
        let newest = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM changes");
        standing.change = unsigned(&newest.fetch_one(self.database.pool()).await?, 0)?;
        Ok(standing)
    }

    /// The stream sequence that a unit has reached; `None` where nothing of it
    /// has ever been folded into this database.
    pub async fn reached(&self, unit: Unit) -> Result<Option<u64>, Error> {
        let row = sqlx::query("SELECT sequence FROM positions WHERE name = $1")
            .bind(unit.name())
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| unsigned(&row, 0)).transpose()
    }

    /// The changes to cells after one of them, in their order.
    pub async fn changes_after(&self, number: u64) -> Result<Vec<Change>, Error> {
        let rows = sqlx::query("SELECT number, cells FROM changes WHERE number > $1 ORDER BY number")
            .bind(number.cast_signed())
            .fetch_all(self.database.pool())
            .await?;
        let change = |row: &AnyRow| {
            let cells = match row.try_get::<&str, _>(1)? {
                "" => None,
                listed => Some(listed_cells(listed)?),
            };
            Ok(Change { number: unsigned(row, 0)?, cells })
        };
        rows.iter().map(change).collect()
    }

    /// Alerts whose last transition lies behind a stream sequence, each with
    /// that transition's own: the first few.
    pub async fn alerts_after(&self, sequence: u64) -> Result<Vec<(u64, Alert)>, Error> {
        let rows = sqlx::query("SELECT sequence, alert FROM alerts WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(sequence.cast_signed())
            .bind(ALERTS_AT_ONCE)
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((unsigned(row, 0)?, alert(row, 1)?))).collect()
    }

    /// Writes gathered updates. What is stored and reaches further stays.
    /// Answers the number of the change to cells, if there was one.
    pub async fn fold_metrics(
        &self,
        range: SequenceRange,
        fold: &MetricsFold,
        now: Timestamp,
    ) -> Result<Folded<Option<u64>>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        if claim(&mut tx, Unit::Metrics).await? < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        write_metrics(&mut tx, fold, now).await?;
        let change = note_change(&mut tx, fold).await?;
        advance(&mut tx, Unit::Metrics, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(change))
    }

    /// Whether the database would hold gathered updates. Nothing is written.
    pub async fn try_fold_metrics(&self, fold: &MetricsFold) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        write_metrics(&mut tx, fold, Timestamp::EPOCH).await?;
        note_change(&mut tx, fold).await?;
        Ok(tx.rollback().await?)
    }

    /// Adds batches of the log to the books, each once, and settles the dead
    /// letters whose events are in them (`redriven`: the batch's sequence by
    /// letter). `heads` are the furthest sequences by partition.
    pub async fn fold_log(
        &self,
        range: SequenceRange,
        entries: &[Entry],
        heads: &BTreeMap<Partition, u64>,
        redriven: &BTreeMap<u64, u64>,
        now: Timestamp,
    ) -> Result<Folded<()>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        let floor = claim(&mut tx, Unit::Log).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        add_intake(&mut tx, books::fold(entries, floor)).await?;
        let fresh = redriven.iter().filter(|(_, raw_seq)| **raw_seq > floor).map(|(letter, seq)| (*letter, *seq));
        dead_letters::settle_accepted(&mut tx, &fresh.collect(), now).await?;
        advance(&mut tx, Unit::Log, range.last, heads).await?;
        tx.commit().await?;
        Ok(Folded::Done(()))
    }

    /// Adds dead letters to the books and to the list, each once, and settles
    /// those whose event has failed again.
    pub async fn fold_dead_letters(
        &self,
        range: SequenceRange,
        entries: &[Entry],
        letters: &[Letter],
        now: Timestamp,
    ) -> Result<Folded<()>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        let floor = claim(&mut tx, Unit::DeadLetters).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        let mut fresh: Vec<&Letter> = letters.iter().filter(|letter| letter.sequence > floor).collect();
        let repeated = dead_letters::repetitions(&mut tx, &fresh).await?;
        fresh.retain(|letter| !repeated.contains(&letter.sequence));
        let entries = entries.iter().filter(|entry| !repeated.contains(&entry.sequence));
        add_intake(&mut tx, books::fold(entries, floor)).await?;
        dead_letters::add(&mut tx, &fresh).await?;
        dead_letters::settle_failed(&mut tx, &fresh, now).await?;
        advance(&mut tx, Unit::DeadLetters, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(()))
    }

    /// Takes alerts through their transitions, which come with their stream
    /// sequences; answers the alerts that changed.
    pub async fn fold_alerts(
        &self,
        range: SequenceRange,
        transitions: &[(u64, AlertTransition)],
    ) -> Result<Folded<Vec<Alert>>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        let floor = claim(&mut tx, Unit::Alerts).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        let mut changed: BTreeMap<Uuid, (u64, Alert)> = BTreeMap::new();
        for (sequence, transition) in transitions.iter().filter(|(sequence, _)| *sequence > floor) {
            let stored = match changed.remove(&transition.id) {
                Some((_, alert)) => Some(alert),
                None => sqlx::query("SELECT alert FROM alerts WHERE id = $1")
                    .bind(transition.id.to_string())
                    .fetch_optional(&mut *tx)
                    .await?
                    .map(|row| alert(&row, 0))
                    .transpose()?,
            };
            changed.insert(transition.id, (*sequence, Alert::after(stored, transition)));
        }
        let mut rows = Vec::with_capacity(changed.len());
        for (id, (sequence, alert)) in &changed {
            rows.push((id, sequence, alert, serde_json::to_string(alert).map_err(|_| Error::Malformed("alert"))?));
        }
        upsert(
            &mut tx,
            "alerts (id, rule, fired_at, alert, sequence)",
            5,
            "(id) DO UPDATE SET fired_at = excluded.fired_at, alert = excluded.alert, sequence = excluded.sequence",
            &rows,
            |statement, (id, sequence, alert, json)| {
                statement
                    .bind(id.to_string())
                    .bind(alert.rule.clone())
                    .bind(alert.fired_at.millis())
                    .bind(json.clone())
                    .bind(sequence.cast_signed())
            },
        )
        .await?;
        advance(&mut tx, Unit::Alerts, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(changed.into_values().map(|(_, alert)| alert).collect()))
    }

    /// The newest alerts, of one rule or of all.
    pub async fn alerts(&self, rule: Option<&str>, limit: u16) -> Result<Vec<Alert>, Error> {
        let statement = match rule {
            Some(rule) => sqlx::query("SELECT alert FROM alerts WHERE rule = $2 ORDER BY fired_at DESC, id LIMIT $1")
                .bind(i64::from(limit))
                .bind(rule.to_owned()),
            None => sqlx::query("SELECT alert FROM alerts ORDER BY fired_at DESC, id LIMIT $1").bind(i64::from(limit)),
        };
        let rows = statement.fetch_all(self.database.pool()).await?;
        rows.iter().map(|row| alert(row, 0)).collect()
    }

    /// Either side's lines of the books, by source.
    pub async fn book_lines(&self) -> Result<Vec<(String, Line)>, Error> {
        let pool = self.database.pool();
        let intake = sqlx::query(
            "SELECT source, CAST(SUM(accepted) AS BIGINT), CAST(SUM(rejected) AS BIGINT),
             CAST(SUM(dead_lettered) AS BIGINT) FROM intake GROUP BY source",
        );
        let outcomes = sqlx::query(
            "SELECT source, CAST(SUM(counted) AS BIGINT), CAST(SUM(late) AS BIGINT),
             CAST(SUM(duplicate) AS BIGINT) FROM outcomes GROUP BY source",
        );
        let intake = intake.fetch_all(pool).await?;
        let outcomes = outcomes.fetch_all(pool).await?;
        let intake = intake.iter().map(|row| Ok((row.try_get(0)?, intake_line(row, 1)?)));
        let outcomes = outcomes.iter().map(|row| Ok((row.try_get(0)?, outcomes_line(row, 1)?)));
        intake.chain(outcomes).collect()
    }

    /// Either side's lines of the books, by source and hour, from an hour on.
    pub async fn book_hours(&self, from: Timestamp) -> Result<Vec<((String, Timestamp), Line)>, Error> {
        let pool = self.database.pool();
        let intake = sqlx::query("SELECT source, hour, accepted, rejected, dead_lettered FROM intake WHERE hour >= $1");
        let outcomes = sqlx::query(
            "SELECT source, hour, CAST(SUM(counted) AS BIGINT), CAST(SUM(late) AS BIGINT),
             CAST(SUM(duplicate) AS BIGINT) FROM outcomes WHERE hour >= $1 GROUP BY source, hour",
        );
        let intake = intake.bind(from.millis()).fetch_all(pool).await?;
        let outcomes = outcomes.bind(from.millis()).fetch_all(pool).await?;
        let key = |row: &AnyRow| Ok::<_, Error>((row.try_get(0)?, time(row.try_get(1)?)));
        let intake = intake.iter().map(|row| Ok((key(row)?, intake_line(row, 2)?)));
        let outcomes = outcomes.iter().map(|row| Ok((key(row)?, outcomes_line(row, 2)?)));
        intake.chain(outcomes).collect()
    }

    /// Calls `visit` with every cell of a metric's version whose window starts
    /// between `from` and `to` (exclusive), window by window, earliest first.
    pub async fn each_cell<E: From<Error>>(
        &self,
        metric: &Metric,
        from: Timestamp,
        to: Timestamp,
        visit: impl FnMut(Cell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!(
            "{PACKED_CELLS} AND window_start >= $3 AND window_start < $4
             GROUP BY window_start, window_end ORDER BY window_start"
        );
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.name.clone()).bind(metric.version.clone());
        self.unpack(statement.bind(from.millis()).bind(to.millis()), visit).await
    }

    /// Calls `visit` with every cell of a metric's version whose window starts
    /// at one of `starts`, in their order.
    pub async fn each_cell_at<E: From<Error>>(
        &self,
        metric: &Metric,
        starts: &BTreeSet<Timestamp>,
        mut visit: impl FnMut(Cell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let starts: Vec<i64> = starts.iter().map(|start| start.millis()).collect();
        for block in starts.chunks(BLOCK) {
            let list: Vec<String> = (3..block.len() + 3).map(|n| format!("${n}")).collect();
            let sql = format!(
                "{PACKED_CELLS} AND window_start IN ({}) GROUP BY window_start, window_end ORDER BY window_start",
                list.join(",")
            );
            let statement = sqlx::query(AssertSqlSafe(sql)).bind(metric.name.clone()).bind(metric.version.clone());
            let statement = block.iter().fold(statement.persistent(false), |statement, start| statement.bind(*start));
            self.unpack(statement, &mut visit).await?;
        }
        Ok(())
    }

    async fn unpack<E: From<Error>>(
        &self,
        statement: Statement<'_>,
        mut visit: impl FnMut(Cell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rows = statement.fetch(self.database.pool());
        while let Some(row) = rows.try_next().await.map_err(Error::from)? {
            let number = |column: usize| row.try_get(column).map(time).map_err(Error::from);
            let (start, end) = (number(0)?, number(1)?);
            let packed = format!("[{}]", row.try_get::<&str, _>(2).map_err(Error::from)?);
            let cells: Vec<PackedCell<'_>> = serde_json::from_str(&packed).map_err(|_| Error::Malformed("total"))?;
            for PackedCell { d, t } in cells {
                visit(Cell { start, end, dimensions: d.get(), totals: t })?;
            }
        }
        Ok(())
    }
}

/// What became of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Folded<T> {
    /// It is in the read model.
    Done(T),
    /// Its range does not follow what is folded: nothing was changed.
    DoesNotFollow,
}

const PARTITION_PREFIX: &str = "log/";

/// Takes a unit's position for this transaction, so that folds of one unit
/// follow one another whoever makes them; answers how far it has come. A write
/// first: the row is this transaction's from here on.
async fn claim(connection: &mut AnyConnection, unit: Unit) -> Result<u64, Error> {
    let floor = sqlx::query(
        "INSERT INTO positions (name, sequence) VALUES ($1, 0)
         ON CONFLICT (name) DO UPDATE SET sequence = positions.sequence RETURNING sequence",
    )
    .bind(unit.name())
    .fetch_one(connection)
    .await?;
    unsigned(&floor, 0)
}

/// Moves a unit's position, and those of partitions.
async fn advance(
    connection: &mut AnyConnection,
    unit: Unit,
    last: u64,
    heads: &BTreeMap<Partition, u64>,
) -> Result<(), Error> {
    let mut positions = vec![(unit.name().to_owned(), last)];
    positions.extend(heads.iter().map(|(partition, head)| (format!("{PARTITION_PREFIX}{partition}"), *head)));
    upsert(
        connection,
        "positions (name, sequence)",
        2,
        "(name) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > positions.sequence",
        &positions,
        |statement, (name, sequence)| statement.bind(name.clone()).bind(sequence.cast_signed()),
    )
    .await
}

async fn write_metrics(connection: &mut AnyConnection, fold: &MetricsFold, now: Timestamp) -> Result<(), Error> {
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
    .await?;
    let outcomes: Vec<_> = fold.outcomes.iter().collect();
    upsert(
        connection,
        "outcomes (source, hour, shard, raw_seq, counted, late, duplicate)",
        7,
        "(source, hour, shard) DO UPDATE SET raw_seq = excluded.raw_seq, counted = excluded.counted,
         late = excluded.late, duplicate = excluded.duplicate WHERE excluded.raw_seq > outcomes.raw_seq",
        &outcomes,
        |statement, ((source, hour, partition), outcome)| {
            statement
                .bind(source.clone())
                .bind(hour.millis())
                .bind(i64::from(partition.index()))
                .bind(outcome.raw_seq.cast_signed())
                .bind(outcome.counted.cast_signed())
                .bind(outcome.late.cast_signed())
                .bind(outcome.duplicate.cast_signed())
        },
    )
    .await?;
    let progress: Vec<_> = fold.progress.iter().collect();
    upsert(
        connection,
        "progress (shard, raw_seq, as_of, part, watermark, idle, folded_at)",
        7,
        "(shard) DO UPDATE SET raw_seq = excluded.raw_seq, as_of = excluded.as_of, part = excluded.part,
         watermark = excluded.watermark, idle = excluded.idle, folded_at = excluded.folded_at
         WHERE (excluded.raw_seq, excluded.as_of, excluded.part) > (progress.raw_seq, progress.as_of, progress.part)",
        &progress,
        |statement, (partition, progress)| {
            statement
                .bind(i64::from(partition.index()))
                .bind(progress.raw_seq.cast_signed())
                .bind(progress.as_of.millis())
                .bind(i64::from(progress.part))
                .bind(progress.watermark.map(Timestamp::millis))
                .bind(i64::from(progress.idle))
                .bind(now.millis())
        },
    )
    .await?;
    let versions: Vec<_> = fold.versions().into_iter().collect();
    upsert(
        connection,
        "versions (metric, version, definition, data_since)",
        4,
        "(metric, version) DO UPDATE SET data_since = excluded.data_since WHERE versions.data_since = 0",
        &versions,
        |statement, (metric, version)| {
            statement.bind((*metric).to_owned()).bind((*version).to_owned()).bind("").bind(now.millis())
        },
    )
    .await
}

/// Adds sums to the log's side of the books.
async fn add_intake(connection: &mut AnyConnection, sums: BTreeMap<(String, Timestamp), Intake>) -> Result<(), Error> {
    let sums: Vec<_> = sums.into_iter().collect();
    upsert(
        connection,
        "intake (source, hour, accepted, rejected, dead_lettered)",
        5,
        "(source, hour) DO UPDATE SET accepted = intake.accepted + excluded.accepted,
         rejected = intake.rejected + excluded.rejected,
         dead_lettered = intake.dead_lettered + excluded.dead_lettered",
        &sums,
        |statement, ((source, hour), intake)| {
            statement
                .bind(source.clone())
                .bind(hour.millis())
                .bind(intake.accepted.cast_signed())
                .bind(intake.rejected.cast_signed())
                .bind(intake.dead_lettered.cast_signed())
        },
    )
    .await
}

/// Notes which cells a fold changes, and forgets old notes; answers the note's
/// number. Its unit's position is held, so the numbers have no gaps.
async fn note_change(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<Option<u64>, Error> {
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

fn listed_cells(listed: &str) -> Result<Vec<CellKey>, Error> {
    let cells: Vec<(String, String, i64, String)> =
        serde_json::from_str(listed).map_err(|_| Error::Malformed("change"))?;
    let key = |(metric, version, start, dimensions): (String, String, i64, String)| CellKey {
        metric: metric.into(),
        version: version.into(),
        start: time(start),
        dimensions: dimensions.into(),
    };
    Ok(cells.into_iter().map(key).collect())
}

/// Inserts rows of `columns` values, `BLOCK` at a time; `conflict` says what
/// happens to those that are there. No two rows may have the same key.
async fn upsert<T: Sync>(
    connection: &mut AnyConnection,
    table: &str,
    columns: usize,
    conflict: &str,
    rows: &[T],
    bind: impl for<'q> Fn(Statement<'q>, &T) -> Statement<'q>,
) -> Result<(), Error> {
    for block in rows.chunks(BLOCK) {
        let sql = format!("INSERT INTO {table} VALUES {} ON CONFLICT {conflict}", placeholders(block.len(), columns));
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(block.len() == BLOCK);
        block.iter().fold(statement, &bind).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The key of dimensions: their text may be of any length, this fits any index.
fn dimensions_id(canonical: &str) -> Vec<u8> {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, canonical.as_bytes()).as_bytes().to_vec()
}

fn alert(row: &AnyRow, column: usize) -> Result<Alert, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| Error::Malformed("alert"))
}

fn intake_line(row: &AnyRow, first: usize) -> Result<Line, Error> {
    let (accepted, rejected, dead_lettered) =
        (unsigned(row, first)?, unsigned(row, first + 1)?, unsigned(row, first + 2)?);
    Ok(Line::intake(Intake { accepted, rejected, dead_lettered }))
}

fn outcomes_line(row: &AnyRow, first: usize) -> Result<Line, Error> {
    Ok(Line::outcomes(unsigned(row, first)?, unsigned(row, first + 1)?, unsigned(row, first + 2)?))
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("count"))
}

fn time(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn partition(index: i64) -> Result<Partition, Error> {
    u16::try_from(index).map(Partition::new).map_err(|_| Error::Malformed("partition"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemill_events::{AlertState, CellUpdate, DeadLetter, MetricsUpdate};
    use tidemill_testkit::{Postgres, TempDir, skipped, tempdir};

    use super::*;
    use crate::{
        dead_letters::{Act, ActionFilter, Filter, Kind, Progress as Step, RedriveRequest, State},
        testing::{at, dead_letter, sales, transition, update, updates},
    };

    /// Any range: it follows whatever is folded.
    const ANY: SequenceRange = SequenceRange { after: 0, last: 1 };

    fn to(after: u64, last: u64) -> SequenceRange {
        SequenceRange { after, last }
    }

    async fn sqlite() -> (Store, TempDir) {
        let folder = tempdir();
        let url = format!("sqlite://{}/reporting.db", folder.path().display());
        (Store::open(&Config { url, max_connections: 4 }).await.expect("opens"), folder)
    }

    /// All that questions can see.
    async fn seen(store: &Store) -> (Vec<String>, Vec<((String, Timestamp), Line)>, Watermarks) {
        let mut cells = Vec::new();
        let visit = |cell: Cell<'_>| -> Result<(), Error> {
            cells.push(format!("{cell:?}"));
            Ok(())
        };
        store.each_cell(&sales(), at(i64::MIN), at(i64::MAX), visit).await.expect("cells");
        // The cells of a window come in no order.
        cells.sort();
        let mut hours = store.book_hours(at(i64::MIN)).await.expect("hours");
        hours.sort_by(|a, b| a.0.cmp(&b.0));
        (cells, hours, store.standing().await.expect("standing").watermarks)
    }

    async fn fold(store: &Store, updates: &[MetricsUpdate]) -> Option<u64> {
        let mut fold = MetricsFold::default();
        updates.iter().for_each(|update| fold.observe(update.clone()));
        let Folded::Done(change) = store.fold_metrics(ANY, &fold, at(1)).await.expect("folds") else {
            panic!("any range follows")
        };
        change
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn order_repeats_and_chunks_change_nothing((straight, shuffled) in updates(), size in 1usize..8) {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let (one, many) = runtime.block_on(async {
                let ((one, _one), (many, _many)) = (sqlite().await, sqlite().await);
                fold(&one, &straight).await;
                for chunk in shuffled.chunks(size) {
                    fold(&many, chunk).await;
                }
                (seen(&one).await, seen(&many).await)
            });
            prop_assert_eq!(one, many);
        }
    }

    fn batches(range: std::ops::Range<u64>) -> Vec<Entry> {
        let lines = |n: u64| vec![(("shop".to_owned(), at(0)), Intake { accepted: n, ..Intake::default() })];
        range.map(|sequence| Entry { sequence, lines: lines(sequence) }).collect()
    }

    fn letter(sequence: u64, code: &str, text: &str) -> Letter {
        let letter = DeadLetter {
            id: format!("letter-{sequence}"),
            code: code.into(),
            reason: text.into(),
            first_failed_at: at(sequence.cast_signed()),
            source: text.into(),
            event_id: Some(text.into()),
            ..dead_letter("ingestion", None)
        };
        Letter::new(sequence, &letter)
    }

    /// What both databases hold to.
    async fn suite(store: &Store) {
        assert_eq!(store.reached(Unit::Metrics).await.expect("answers"), None, "nothing is folded yet");
        totals_stay_the_furthest(store).await;
        sessions_grow_and_are_retracted(store).await;
        changes_are_told(store).await;
        intake_counts_once(store).await;
        alerts_go_through_their_transitions(store).await;
        dead_letters_are_listed(store).await;
        dead_letters_are_ordered_and_settled(store).await;
        settled_before_it_is_listed(store).await;
        a_letter_that_was_published_twice_counts_once(store).await;
        definitions_are_remembered(store).await;
        any_text_is_held(store).await;
    }

    /// Whatever an event says may be a dimension, a source, or stand in an alert
    /// or a dead letter.
    async fn any_text_is_held(store: &Store) {
        let texts = tidemill_testkit::any_texts();
        let mut told = update(0, 9_000);
        told.cells = texts
            .iter()
            .map(|text| CellUpdate {
                start: at(900_000_000),
                dimensions: BTreeMap::from([("category".into(), text.clone()), ("region".into(), text.repeat(2))]),
                ..told.cells[0].clone()
            })
            .collect();
        told.books = texts
            .iter()
            .map(|text| tidemill_events::SourceBooks { source: text.clone(), ..told.books[0].clone() })
            .collect();
        fold(store, std::slice::from_ref(&told)).await;
        let mut held = BTreeSet::new();
        let visit = |cell: Cell<'_>| -> Result<(), Error> {
            let dimensions: BTreeMap<String, String> = serde_json::from_str(cell.dimensions).expect("JSON");
            held.insert(dimensions["category"].clone());
            Ok(())
        };
        store.each_cell_at(&sales(), &[at(900_000_000)].into(), visit).await.expect("cells");
        assert_eq!(held, texts.iter().cloned().collect());

        let letters: Vec<Letter> =
            (9_000..).zip(&texts).map(|(sequence, text)| letter(sequence, "any_text", text)).collect();
        let folded = store.fold_dead_letters(to(0, 9_999), &[], &letters, at(1)).await.expect("folds");
        assert_eq!(folded, Folded::Done(()));
        let listed = store
            .dead_letters(&Filter { code: Some("any_text".into()), ..Filter::default() }, Page::After(0), 500)
            .await
            .expect("letters");
        assert_eq!(listed.into_iter().map(|found| found.letter).collect::<Vec<_>>(), letters);

        let fired: Vec<(u64, AlertTransition)> = (9_000_u64..)
            .zip(&texts)
            .map(|(sequence, text)| {
                let fired = transition(sequence.into(), AlertState::Firing, at(sequence.cast_signed()));
                (
                    sequence,
                    AlertTransition { rule: "TEXTS".into(), title: text.clone(), summary: text.clone(), ..fired },
                )
            })
            .collect();
        let Folded::Done(_) = store.fold_alerts(to(0, 9_999), &fired).await.expect("folds") else {
            panic!("any range follows")
        };
        let titles: BTreeSet<String> =
            store.alerts(Some("TEXTS"), 500).await.expect("alerts").into_iter().map(|alert| alert.title).collect();
        assert_eq!(titles, texts.into_iter().collect());
    }

    async fn totals_stay_the_furthest(store: &Store) {
        let (other, _folder) = sqlite().await;
        let straight: Vec<_> = (1..20).flat_map(|seq| [update(0, seq), update(1, seq + 3)]).collect();
        fold(&other, &straight).await;
        for chunk in straight.rchunks(7) {
            fold(store, chunk).await;
        }
        fold(store, &straight).await;
        assert_eq!(seen(store).await, seen(&other).await);
        let at_starts = async |starts: &mut dyn Iterator<Item = i64>| {
            let mut cells = Vec::new();
            let visit = |cell: Cell<'_>| -> Result<(), Error> {
                cells.push((cell.start, cell.end, cell.dimensions.to_owned()));
                Ok(())
            };
            store.each_cell_at(&sales(), &starts.map(at).collect(), visit).await.expect("cells");
            cells
        };
        let first = at_starts(&mut [0, 999].into_iter()).await;
        assert!(!first.is_empty() && first.iter().all(|(start, end, _)| (*start, *end) == (at(0), at(60_000))));
        assert_eq!(at_starts(&mut (0..(BLOCK as i64 * 2))).await, first);
    }

    async fn intake_counts_once(store: &Store) {
        let heads = |head| BTreeMap::from([(Partition::new(0), head)]);
        let before = |lines: Vec<(String, Line)>| -> u64 { lines.iter().map(|(_, line)| line.accepted).sum() };
        let fold = async |range: SequenceRange, head: u64| {
            let (entries, heads) = (batches(range.after + 1..range.last + 1), heads(head));
            store.fold_log(range, &entries, &heads, &BTreeMap::new(), at(1)).await.expect("folds")
        };
        assert_eq!(fold(to(0, 4), 4).await, Folded::Done(()));
        assert_eq!(fold(to(2, 6), 6).await, Folded::Done(()));
        assert_eq!(fold(to(0, 6), 6).await, Folded::Done(()));
        assert_eq!(fold(to(7, 9), 9).await, Folded::DoesNotFollow, "the seventh is missing");
        assert_eq!(store.reached(Unit::Log).await.expect("answers"), Some(6));
        assert_eq!(before(store.book_lines().await.expect("lines")), 1 + 2 + 3 + 4 + 5 + 6);
        let standing = store.standing().await.expect("standing");
        assert!(standing.as_of.is_some());
        let mut expected = standing.watermarks.clone();
        expected.received(Partition::new(0), 6);
        assert_eq!(standing.watermarks, expected);
    }

    async fn alerts_go_through_their_transitions(store: &Store) {
        let fired = |id| transition(id, AlertState::Firing, at(id as i64));
        let notified = |id| transition(id, AlertState::Notified, at(id as i64 + 100));
        let fold =
            async |range, transitions: &[(u64, AlertTransition)]| match store.fold_alerts(range, transitions).await {
                Ok(Folded::Done(alerts)) => alerts.len(),
                other => panic!("{other:?}"),
            };
        assert_eq!(fold(to(0, 2), &[(1, notified(2)), (2, fired(1))]).await, 2);
        assert_eq!(fold(to(2, 5), &[(3, fired(2)), (4, notified(1)), (5, fired(1))]).await, 2);
        assert_eq!(fold(to(0, 6), &[(5, fired(1)), (6, fired(3))]).await, 1, "what is folded changes nothing");
        assert_eq!(store.fold_alerts(to(9, 10), &[(10, fired(4))]).await.expect("answers"), Folded::DoesNotFollow);
        let changed: Vec<u64> =
            store.alerts_after(4).await.expect("answers").into_iter().map(|(sequence, _)| sequence).collect();
        assert_eq!(changed, [5, 6]);
        let alerts = store.alerts(None, 50).await.expect("alerts");
        let told: Vec<_> = alerts.iter().map(|alert| (alert.fired_at, alert.notified_at)).collect();
        assert_eq!(told, [(at(3), None), (at(2), Some(at(102))), (at(1), Some(at(101)))]);
        assert_eq!(store.alerts(Some("REVENUE_SPIKE"), 1).await.expect("alerts")[0], alerts[0]);
        assert!(store.alerts(Some("' OR 1=1 --"), 9).await.expect("alerts").is_empty());
    }

    /// In the same chunk, and in a later one.
    async fn a_letter_that_was_published_twice_counts_once(store: &Store) {
        let dead = async || -> u64 {
            store.book_lines().await.expect("lines").iter().map(|(_, line)| line.dead_lettered).sum()
        };
        let before = dead().await;
        let letters = [(12, "x"), (13, "y"), (14, "x"), (15, "y"), (16, "z")]
            .map(|(sequence, id)| Letter { id: id.into(), ..letter(sequence, "c", "shop") });
        let entries =
            letters.each_ref().map(|letter| Entry::of_letter(letter.sequence, &dead_letter("ingestion", None)));
        let _ = store.fold_dead_letters(to(11, 14), &entries[..3], &letters[..3], at(1)).await.expect("folds");
        let _ = store.fold_dead_letters(to(14, 16), &entries[3..], &letters[3..], at(1)).await.expect("folds");
        assert_eq!(dead().await - before, 3);
        let listed = store.dead_letters(&Filter::default(), Page::After(11), 9).await.expect("letters");
        assert_eq!(listed.iter().map(|found| found.letter.sequence).collect::<Vec<_>>(), [12, 13, 16]);
    }

    async fn dead_letters_are_listed(store: &Store) {
        let hostile = "\u{0} <script>, \"'\u{1f600}";
        let letters = [letter(1, "a", hostile), letter(2, "b", hostile), letter(3, "a", hostile)];
        for _ in 0..2 {
            let folded = store.fold_dead_letters(to(0, 3), &[], &letters, at(1)).await.expect("folds");
            assert_eq!(folded, Folded::Done(()));
        }
        let listed = async |filter: Filter, before, limit| -> Vec<u64> {
            let found = store.dead_letters(&filter, Page::Before(before), limit).await.expect("letters");
            found.iter().map(|found| found.letter.sequence).collect()
        };
        let all = Filter::default;
        assert_eq!(listed(all(), None, 2).await, [3, 2]);
        assert_eq!(listed(Filter { code: Some("a".into()), ..all() }, Some(3), 9).await, [1]);
        assert!(listed(Filter { service: Some("alert".into()), ..all() }, None, 9).await.is_empty());
        assert_eq!(listed(Filter { since: Some(at(2)), until: Some(at(3)), ..all() }, None, 9).await, [2]);
        assert_eq!(listed(Filter { source: Some("unknown".into()), ..all() }, None, 9).await, [3, 2, 1]);
        assert!(listed(Filter { source: Some("' OR 1=1 --".into()), ..all() }, None, 9).await.is_empty());
        assert_eq!(listed(Filter { state: Some(State::Dead), ..all() }, None, 9).await, [3, 2, 1]);
        assert!(listed(Filter { state: Some(State::Accepted), ..all() }, None, 9).await.is_empty());
        let found = store.dead_letters(&all(), Page::After(1), 1).await.expect("letters");
        assert_eq!((found.len(), &found[0].letter), (1, &letters[1]));
        store.forget_dead_letters(at(3), at(0)).await.expect("forgets");
        assert_eq!(listed(all(), None, 9).await, [3]);
    }

    fn order(request: u128, kind: Kind, force: bool) -> RedriveRequest {
        let (by, key) = ("anna".to_owned(), "anybody".to_owned());
        let (request, reason, at, body) = (Uuid::from_u128(request), "mended".to_owned(), at(9), Vec::new());
        RedriveRequest { request, kind, force, by, key, reason, at, body }
    }

    async fn stands(store: &Store, letter: u64) -> (State, Option<u64>, Option<u64>) {
        let found = store.dead_letters_at(&[letter].into()).await.expect("answers");
        let letter = &found[&letter].letter;
        (letter.state, letter.raw_sequence, letter.failed_again_as)
    }

    async fn dead_letters_are_ordered_and_settled(store: &Store) {
        let letters: Vec<Letter> = (4..9).map(|sequence| letter(sequence, "c", "shop")).collect();
        let _ = store.fold_dead_letters(to(3, 8), &[], &letters, at(1)).await.expect("folds");
        let redrive = order(1, Kind::Redrive, false);
        assert_eq!(store.order(&redrive, &[4, 5, 6]).await.expect("writes"), [4, 5, 6].into());
        assert!(store.order(&order(2, Kind::Redrive, false), &[4]).await.expect("answers").is_empty());
        assert!(store.order(&order(2, Kind::Discard, false), &[4]).await.expect("answers").is_empty());
        assert_eq!(store.order(&order(3, Kind::Discard, false), &[7]).await.expect("writes"), [7].into());
        assert_eq!(stands(store, 4).await, (State::Redriving, None, None));
        assert_eq!(stands(store, 7).await, (State::Discarded, None, None));
        let waiting = store.redrives_to_send(9).await.expect("answers");
        assert_eq!(waiting.iter().map(|order| order.letter).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!((waiting[0].id, waiting[0].by.as_str()), (redrive.action(4), "anna"));

        // One is settled before the outbox has noted that it was sent.
        let accepted = BTreeMap::from([(4, 10)]);
        let _ = store.fold_log(to(6, 10), &batches(10..11), &BTreeMap::new(), &accepted, at(2)).await.expect("folds");
        store.redrives_sent(&[redrive.action(4), redrive.action(5)]).await.expect("writes");
        store.redrive_lost(redrive.action(6), 6, at(3)).await.expect("writes");
        let again = Letter { redriven_from: Some(5), ..letter(9, "c", "shop") };
        let _ = store.fold_dead_letters(to(8, 9), &[], &[again], at(4)).await.expect("folds");
        assert_eq!(stands(store, 4).await, (State::Accepted, Some(10), None));
        assert_eq!(stands(store, 5).await, (State::FailedAgain, None, Some(9)));
        assert_eq!(stands(store, 6).await.0, State::Dead);
        assert!(store.redrives_to_send(9).await.expect("answers").is_empty());
        let discards = store.discards_to_do(9).await.expect("answers");
        assert_eq!(discards.iter().map(|discard| discard.letter).collect::<Vec<_>>(), [7], "and no redrive");
        let ids: Vec<Uuid> = discards.iter().map(|discard| discard.id).collect();
        for now in [at(11), at(12)] {
            store.discards_done(&ids, now).await.expect("writes");
            assert!(store.discards_to_do(9).await.expect("answers").is_empty());
        }
        let counts = store.order_progress(redrive.request).await.expect("answers");
        let counted = |name: &str| counts.get(name).copied();
        assert_eq!((counted("accepted"), counted("failed_again"), counted("lost")), (Some(1), Some(1), Some(1)));

        let actions =
            store.actions(&ActionFilter { letter: Some(5), ..ActionFilter::default() }, 9).await.expect("answers");
        assert_eq!((actions.len(), actions[0].state, actions[0].failed_again_as), (1, Step::FailedAgain, Some(9)));
        let filter = ActionFilter { by: Some("anna".into()), kind: Some(Act::Discard), ..ActionFilter::default() };
        let discarded = store.actions(&filter, 9).await.expect("answers");
        assert_eq!((discarded.len(), discarded[0].letter, discarded[0].settled_at), (1, 7, Some(at(11))));
        let page = ActionFilter { before: Some(discarded[0].number), ..ActionFilter::default() };
        assert_eq!(store.actions(&page, 2).await.expect("answers").len(), 2);

        // A letter that failed again may be redriven, an accepted one by force alone.
        assert!(store.order(&order(4, Kind::Redrive, false), &[4]).await.expect("answers").is_empty());
        assert_eq!(store.order(&order(4, Kind::Redrive, true), &[4, 5]).await.expect("writes"), [4, 5].into());
        assert!(store.order(&order(5, Kind::Discard, true), &[4]).await.is_ok());
    }

    /// After the database was lost, the log may be read before the letters are.
    async fn settled_before_it_is_listed(store: &Store) {
        let accepted = BTreeMap::from([(11, 12)]);
        let _ = store.fold_log(to(10, 12), &batches(11..13), &BTreeMap::new(), &accepted, at(2)).await.expect("folds");
        let _ = store.fold_dead_letters(to(9, 11), &[], &[letter(11, "c", "shop")], at(4)).await.expect("folds");
        assert_eq!(stands(store, 11).await, (State::Accepted, Some(12), None));
    }

    async fn cells_from(store: &Store, start: i64) -> Vec<(Timestamp, String)> {
        let mut cells = Vec::new();
        let visit = |cell: Cell<'_>| -> Result<(), Error> {
            cells.push((cell.end, format!("{:?}", cell.totals)));
            Ok(())
        };
        store.each_cell(&sales(), at(start), at(i64::MAX), visit).await.expect("cells");
        cells
    }

    async fn sessions_grow_and_are_retracted(store: &Store) {
        const START: i64 = 86_400_000;
        let session = |raw_seq, end, retracted| {
            let mut update = update(5, raw_seq);
            let cell = CellUpdate { start: at(START), end: at(START + end), retracted, ..update.cells.remove(0) };
            MetricsUpdate { cells: vec![cell], books: Vec::new(), ..update }
        };
        fold(store, &[session(2, 10, false)]).await;
        fold(store, &[session(4, 30, false)]).await;
        fold(store, &[session(2, 10, false)]).await;
        let seen = cells_from(store, START).await;
        assert_eq!(seen.iter().map(|(end, _)| *end).collect::<Vec<_>>(), [at(START + 30)]);
        fold(store, &[session(6, 30, true)]).await;
        fold(store, &[session(4, 30, false)]).await;
        assert!(cells_from(store, START).await.is_empty(), "what is older than a tombstone does not come back");
    }

    async fn changes_are_told(store: &Store) {
        let before = store.standing().await.expect("standing").change;
        let number = fold(store, &[update(0, 40)]).await;
        assert_eq!(number, Some(before + 1));
        assert_eq!(fold(store, &[MetricsUpdate { cells: Vec::new(), ..update(0, 41) }]).await, None);
        let changes = store.changes_after(before).await.expect("answers");
        let mut folded = MetricsFold::default();
        folded.observe(update(0, 40));
        let cells: Vec<CellKey> = folded.changed().into_iter().cloned().collect();
        assert_eq!(changes, [Change { number: before + 1, cells: Some(cells) }]);
        assert_eq!(store.standing().await.expect("standing").change, before + 1);
    }

    async fn definitions_are_remembered(store: &Store) {
        let metric = Metric { name: "new".into(), ..sales() };
        for _ in 0..2 {
            store.save_definitions([&metric, &sales()].into_iter()).await.expect("saves");
        }
        let versions = store.versions().await.expect("versions");
        let of = |name: &str| versions.iter().find(|known| known.metric == name).expect("known");
        assert_eq!((of("new").definition.as_ref(), of("new").data_since), (Some(&metric), None));
        assert_eq!(
            (of("sales_metrics").definition.as_ref(), of("sales_metrics").data_since),
            (Some(&sales()), Some(at(1)))
        );
    }

    #[tokio::test]
    async fn sqlite_holds_to_it() {
        let (store, folder) = sqlite().await;
        suite(&store).await;
        let before = seen(&store).await;
        store.close().await;
        let url = format!("sqlite://{}/reporting.db", folder.path().display());
        let again = Store::open(&Config { url, max_connections: 1 }).await.expect("opens again");
        assert_eq!(seen(&again).await, before);
    }

    /// Another writer folds between a replica's look at the position and its
    /// own fold: each message counts once all the same.
    #[tokio::test]
    async fn two_writers_on_postgres_count_once() {
        let Some(server) = Postgres::start().await else {
            return skipped("two_writers_on_postgres_count_once", "no PostgreSQL is installed");
        };
        let config = Config { url: server.url(), max_connections: 4 };
        // Both make the schema at once, too.
        let (one, other) = tokio::join!(Store::open(&config), Store::open(&config));
        let stores = [one.expect("opens"), other.expect("opens")];
        let follow = async |store: &Store| {
            for after in 0..40 {
                let (range, sequence) = (to(after, after + 1), after + 1);
                let entries = batches(sequence..sequence + 1);
                let (heads, redriven) = (BTreeMap::new(), BTreeMap::new());
                let log = store.fold_log(range, &entries, &heads, &redriven, at(1)).await;
                assert_eq!(log.expect("folds"), Folded::Done(()));
                let fired = transition(1, AlertState::Firing, at(100 - after.cast_signed()));
                let _ = store.fold_alerts(range, &[(sequence, fired)]).await.expect("folds");
                fold(store, &[update(0, sequence)]).await;
            }
        };
        tokio::join!(follow(&stores[0]), follow(&stores[1]));
        let accepted: u64 = stores[0].book_lines().await.expect("lines").iter().map(|(_, line)| line.accepted).sum();
        assert_eq!(accepted, (1..=40_u64).sum::<u64>());
        assert_eq!(stores[1].alerts(None, 9).await.expect("alerts")[0].fired_at, at(61));
        let standing = stores[1].standing().await.expect("standing");
        assert_eq!((standing.change, standing.reached["log"]), (80, 40));
    }

    #[tokio::test]
    async fn postgres_holds_to_it() {
        let Some(server) = Postgres::start().await else {
            return skipped("postgres_holds_to_it", "no PostgreSQL is installed");
        };
        let store = Store::open(&Config { url: server.url(), max_connections: 4 }).await.expect("opens");
        store.ping().await.expect("answers");
        suite(&store).await;
    }
}
