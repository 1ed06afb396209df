//! The read model's tables.

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
    read_model::MetricsFold,
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

/// The cells of one window in one row: a row's way out of the database costs
/// more than a cell's.
const PACKED_CELLS: &str = r#"SELECT window_start, window_end,
    string_agg('{"d":' || dimensions || ',"t":' || totals || '}', ',') FROM cells WHERE metric = $1 AND version = $2"#;

#[derive(Deserialize)]
struct PackedCell<'a> {
    #[serde(borrow)]
    d: &'a RawValue,
    t: Totals,
}

/// Which stream's intake is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Batches of the log.
    Log,
    /// Dead letters.
    DeadLetters,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// Where the read model stood when it was last written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The partitions' progress.
    pub watermarks: Watermarks,
    /// When the newest update was folded.
    pub as_of: Option<Timestamp>,
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
        Ok((turn, self.database.pool().begin().await?))
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
            if let Some(shard) = row.try_get::<&str, _>(0)?.strip_prefix(PARTITION_PREFIX) {
                let shard = shard.parse().map_err(|_| Error::Malformed("partition"))?;
                standing.watermarks.received(partition(shard)?, unsigned(&row, 1)?);
            }
        }
        Ok(standing)
    }

    /// Writes gathered updates. What is stored and reaches further stays.
    pub async fn fold_metrics(&self, fold: &MetricsFold, now: Timestamp) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        let mut cells = Vec::with_capacity(fold.cells.len());
        for ((key, partition), state) in &fold.cells {
            let totals = serde_json::to_string(&state.totals).map_err(|_| Error::Malformed("total"))?;
            cells.push((key, partition, state, totals));
        }
        upsert(
            &mut tx,
            "cells (metric, version, window_start, dimensions_id, shard, window_end, dimensions, raw_seq, totals)",
            9,
            "(metric, version, window_start, dimensions_id, shard) DO UPDATE SET
             raw_seq = excluded.raw_seq, totals = excluded.totals WHERE excluded.raw_seq > cells.raw_seq",
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
            },
        )
        .await?;
        let outcomes: Vec<_> = fold.outcomes.iter().collect();
        upsert(
            &mut tx,
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
            &mut tx,
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
            &mut tx,
            "versions (metric, version, definition, data_since)",
            4,
            "(metric, version) DO UPDATE SET data_since = excluded.data_since WHERE versions.data_since = 0",
            &versions,
            |statement, (metric, version)| {
                statement.bind((*metric).to_owned()).bind((*version).to_owned()).bind("").bind(now.millis())
            },
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// Adds what entries of a stream say to the books: each once, in stream
    /// order. `heads` are the furthest sequences by partition, `letters` the
    /// dead letters among the entries.
    pub async fn fold_intake(
        &self,
        side: Side,
        entries: &[Entry],
        heads: &BTreeMap<Partition, u64>,
        letters: &[Letter],
    ) -> Result<(), Error> {
        let Some(last) = entries.iter().map(|entry| entry.sequence).max() else { return Ok(()) };
        let (_turn, mut tx) = self.begin().await?;
        // A write first: the row is this transaction's from here on.
        let floor = sqlx::query(
            "INSERT INTO positions (name, sequence) VALUES ($1, 0)
             ON CONFLICT (name) DO UPDATE SET sequence = positions.sequence RETURNING sequence",
        )
        .bind(side.name())
        .fetch_one(&mut *tx)
        .await?;
        let floor = unsigned(&floor, 0)?;
        let sums: Vec<_> = books::fold(entries, floor).into_iter().collect();
        upsert(
            &mut tx,
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
        .await?;
        let mut fresh = Vec::with_capacity(letters.len());
        for letter in letters.iter().filter(|letter| letter.sequence > floor) {
            fresh.push((letter, serde_json::to_string(letter).map_err(|_| Error::Malformed("dead letter"))?));
        }
        upsert(
            &mut tx,
            "dead_letters (sequence, service, code, failed_at, letter)",
            5,
            "(sequence) DO NOTHING",
            &fresh,
            |statement, (letter, json)| {
                statement
                    .bind(letter.sequence.cast_signed())
                    .bind(letter.service.clone())
                    .bind(letter.code.clone())
                    .bind(letter.failed_at.millis())
                    .bind(json.clone())
            },
        )
        .await?;
        let mut positions = vec![(side.name().to_owned(), last)];
        positions.extend(heads.iter().map(|(partition, head)| (format!("{PARTITION_PREFIX}{partition}"), *head)));
        upsert(
            &mut tx,
            "positions (name, sequence)",
            2,
            "(name) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > positions.sequence",
            &positions,
            |statement, (name, sequence)| statement.bind(name.clone()).bind(sequence.cast_signed()),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// Takes alerts through their transitions; answers those that changed.
    pub async fn fold_alerts(&self, transitions: &[AlertTransition]) -> Result<Vec<Alert>, Error> {
        let (_turn, mut tx) = self.begin().await?;
        let mut changed: BTreeMap<Uuid, Alert> = BTreeMap::new();
        for transition in transitions {
            let stored = match changed.remove(&transition.id) {
                Some(alert) => Some(alert),
                None => sqlx::query("SELECT alert FROM alerts WHERE id = $1")
                    .bind(transition.id.to_string())
                    .fetch_optional(&mut *tx)
                    .await?
                    .map(|row| alert(&row, 0))
                    .transpose()?,
            };
            changed.insert(transition.id, Alert::after(stored, transition));
        }
        let mut rows = Vec::with_capacity(changed.len());
        for (id, alert) in &changed {
            rows.push((id, alert, serde_json::to_string(alert).map_err(|_| Error::Malformed("alert"))?));
        }
        upsert(
            &mut tx,
            "alerts (id, rule, fired_at, alert)",
            4,
            "(id) DO UPDATE SET fired_at = excluded.fired_at, alert = excluded.alert",
            &rows,
            |statement, (id, alert, json)| {
                statement.bind(id.to_string()).bind(alert.rule.clone()).bind(alert.fired_at.millis()).bind(json.clone())
            },
        )
        .await?;
        tx.commit().await?;
        Ok(changed.into_values().collect())
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

    /// The newest dead letters, of one service or code or of all, below a
    /// stream sequence.
    pub async fn dead_letters(
        &self,
        service: Option<&str>,
        code: Option<&str>,
        before: Option<u64>,
        limit: u16,
    ) -> Result<Vec<Letter>, Error> {
        let rows = sqlx::query(
            "SELECT letter FROM dead_letters WHERE ($1 = '' OR service = $1) AND ($2 = '' OR code = $2)
             AND sequence < $3 ORDER BY sequence DESC LIMIT $4",
        )
        .bind(service.unwrap_or_default().to_owned())
        .bind(code.unwrap_or_default().to_owned())
        .bind(before.and_then(|sequence| i64::try_from(sequence).ok()).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let letter = |row: &AnyRow| serde_json::from_str(row.try_get(0)?).map_err(|_| Error::Malformed("dead letter"));
        rows.iter().map(letter).collect()
    }

    /// Forgets dead letters that failed before `horizon`, when the stream has
    /// forgotten them too. The books keep their count.
    pub async fn forget_dead_letters(&self, horizon: Timestamp) -> Result<(), Error> {
        let (_turn, mut tx) = self.begin().await?;
        sqlx::query("DELETE FROM dead_letters WHERE failed_at < $1").bind(horizon.millis()).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
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

const PARTITION_PREFIX: &str = "log/";

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
    use tidemill_events::{AlertState, DeadLetter, MetricsUpdate};
    use tidemill_testkit::{Postgres, TempDir, skipped, tempdir};

    use super::*;
    use crate::testing::{at, sales, transition, update, updates};

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

    async fn fold(store: &Store, updates: &[MetricsUpdate]) {
        let mut fold = MetricsFold::default();
        updates.iter().for_each(|update| fold.observe(update.clone()));
        store.fold_metrics(&fold, at(1)).await.expect("folds");
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
            id: "1".into(),
            service: "ingestion".into(),
            release: "0".into(),
            code: code.into(),
            reason: text.into(),
            pointer: None,
            stream: None,
            sequence: None,
            deliveries: 1,
            first_failed_at: at(sequence.cast_signed()),
            source: text.into(),
            event_id: Some(text.into()),
            trace: None,
            body: bytes::Bytes::new(),
        };
        Letter::new(sequence, &letter)
    }

    /// What both databases hold to.
    async fn suite(store: &Store) {
        totals_stay_the_furthest(store).await;
        intake_counts_once(store).await;
        alerts_go_through_their_transitions(store).await;
        dead_letters_are_listed(store).await;
        definitions_are_remembered(store).await;
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
        store.fold_intake(Side::Log, &batches(1..5), &heads(4), &[]).await.expect("folds");
        store.fold_intake(Side::Log, &batches(3..7), &heads(6), &[]).await.expect("folds");
        store.fold_intake(Side::Log, &batches(1..7), &heads(6), &[]).await.expect("folds");
        store.fold_intake(Side::Log, &[], &heads(6), &[]).await.expect("nothing is fine");
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
        store.fold_alerts(&[notified(2), fired(1)]).await.expect("folds");
        let changed = store.fold_alerts(&[fired(2), notified(1), fired(1)]).await.expect("folds");
        assert_eq!(changed.len(), 2);
        store.fold_alerts(&[fired(3)]).await.expect("folds");
        let alerts = store.alerts(None, 50).await.expect("alerts");
        let told: Vec<_> = alerts.iter().map(|alert| (alert.fired_at, alert.notified_at)).collect();
        assert_eq!(told, [(at(3), None), (at(2), Some(at(102))), (at(1), Some(at(101)))]);
        assert_eq!(store.alerts(Some("REVENUE_SPIKE"), 1).await.expect("alerts")[0], alerts[0]);
        assert!(store.alerts(Some("' OR 1=1 --"), 9).await.expect("alerts").is_empty());
    }

    async fn dead_letters_are_listed(store: &Store) {
        let hostile = "\u{0} <script>, \"'\u{1f600}";
        let letters = [letter(1, "a", hostile), letter(2, "b", hostile), letter(3, "a", hostile)];
        let entries: Vec<Entry> = (1..4).map(|sequence| Entry { sequence, lines: Vec::new() }).collect();
        for _ in 0..2 {
            store.fold_intake(Side::DeadLetters, &entries, &BTreeMap::new(), &letters).await.expect("folds");
        }
        let listed = async |service, code, before, limit| -> Vec<u64> {
            let letters = store.dead_letters(service, code, before, limit).await.expect("letters");
            letters.iter().map(|letter| letter.sequence).collect()
        };
        assert_eq!(listed(None, None, None, 2).await, [3, 2]);
        assert_eq!(listed(None, Some("a"), Some(3), 9).await, [1]);
        assert!(listed(Some("alert"), None, None, 9).await.is_empty());
        assert_eq!(store.dead_letters(None, None, Some(2), 1).await.expect("letters"), letters[..1]);
        store.forget_dead_letters(at(3)).await.expect("forgets");
        assert_eq!(listed(None, None, None, 9).await, [3]);
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
