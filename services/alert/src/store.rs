//! The service's own database: alerts and what became of them, and the state
//! that lets evaluation go on where it stopped.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, Row, Transaction, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition, TraceParent};
use tidemill_store::{Config, Database, Error, placeholders, rows_per_statement};
use tidemill_totals::Totals;
use uuid::Uuid;

use crate::{error, rules::Alert, unit::Unit};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const CELL_COLUMNS: usize = 10;
const INSERT_CELLS: &str = "INSERT INTO cells \
     (metric, version, start_ms, dimensions, partition_no, end_ms, raw_seq, totals, exemplar, retracted) VALUES";
const UPDATE_CELLS: &str = "ON CONFLICT (metric, version, start_ms, dimensions, partition_no) DO UPDATE SET \
     end_ms = excluded.end_ms, raw_seq = excluded.raw_seq, totals = excluded.totals, exemplar = excluded.exemplar, \
     retracted = excluded.retracted WHERE excluded.raw_seq > cells.raw_seq";

/// A unit that was taken over, and which take-over this is. What is written
/// under it is refused once somebody else has taken the unit over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    unit: Unit,
    epoch: i64,
}

impl Claim {
    /// How often the unit has been taken over, this time included.
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }
}

/// How far a consumer has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The `RAW` sequence that it has reached.
    pub raw_seq: u64,
    /// Event time up to which the partition is known; `None` where it holds
    /// nothing back.
    pub watermark: Option<Timestamp>,
    /// When aggregation last spoke of the partition.
    pub as_of: Option<Timestamp>,
}

/// What counters counted in one step of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// Where.
    pub partition: Partition,
    /// Up to where.
    pub raw_seq: u64,
    /// When ingestion took the events in.
    pub arrived: Timestamp,
    /// Counter, hash of the key, event time in milliseconds.
    pub entries: Vec<(String, u64, i64)>,
}

/// One cell of one window, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Metric.
    pub metric: String,
    /// Version of its definition.
    pub version: String,
    /// First instant of the window.
    pub start: Timestamp,
    /// Values by dimension.
    pub dimensions: BTreeMap<String, String>,
    /// Whose totals.
    pub partition: Partition,
}

/// A partition's totals of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellTotals {
    /// First instant after the window.
    pub end: Timestamp,
    /// The `RAW` sequence that they reach.
    pub raw_seq: u64,
    /// The totals.
    pub totals: Totals,
    /// Whether the cell was taken back, as a session that was merged into
    /// another.
    pub retracted: bool,
    /// A sampled event that is counted in them.
    pub exemplar: Option<TraceParent>,
}

/// What one step of a consumer changes, all in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Rules that fired.
    pub alerts: Vec<Alert>,
    /// How far it came.
    pub progress: BTreeMap<Partition, Progress>,
    /// What counters counted.
    pub observations: Option<Observations>,
    /// Observations of this partition that arrived earlier are not needed any more.
    pub forget_observations: Option<(Partition, Timestamp)>,
    /// Totals that reach further than before.
    pub cells: BTreeMap<CellKey, CellTotals>,
    /// Windows of these metrics (name, version) before these starts are not
    /// needed any more.
    pub forget_cells: BTreeMap<(String, String), Timestamp>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it is made of, apart from positions: alerts, then observations, then
    /// cells. None of them needs another.
    pub fn parts(&self) -> usize {
        self.alerts.len() + usize::from(self.observations.is_some()) + self.cells.len()
    }

    /// The same with some of its parts alone.
    #[must_use]
    pub fn with(&self, parts: &[usize]) -> Self {
        let has = |part: usize| parts.contains(&part);
        let (alerts, observations) = (self.alerts.len(), usize::from(self.observations.is_some()));
        let cells = self.cells.iter().enumerate().filter(|(place, _)| has(alerts + observations + place));
        Self {
            alerts: self.alerts.iter().enumerate().filter(|(place, _)| has(*place)).map(|(_, a)| a.clone()).collect(),
            observations: self.observations.clone().filter(|_| has(alerts)),
            cells: cells.map(|(_, (key, cell))| (key.clone(), cell.clone())).collect(),
            progress: self.progress.clone(),
            forget_observations: self.forget_observations,
            forget_cells: self.forget_cells.clone(),
        }
    }
}

/// What was kept of a unit.
#[derive(Debug, Default, PartialEq)]
pub struct Saved {
    /// How far it had come.
    pub progress: BTreeMap<Partition, Progress>,
    /// What counters had counted, in the order of arrival.
    pub observations: Vec<Observations>,
    /// The windows.
    pub cells: Vec<(CellKey, CellTotals)>,
}

/// What became of an alert's notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// Nobody is to be told.
    Off,
    /// It is to be sent.
    Pending,
    /// It was accepted.
    Sent,
    /// It was refused, and would be again.
    Refused,
    /// It could not be delivered in time.
    Expired,
}

impl Notification {
    /// As it stands in the store, in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    fn read(text: &str) -> Result<Self, Error> {
        [Self::Off, Self::Pending, Self::Sent, Self::Refused, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(Error::Malformed("notification"))
    }
}

/// An alert, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The alert.
    pub alert: Alert,
    /// Whether somebody was told.
    pub notification: Notification,
    /// When that was settled.
    pub settled_at: Option<Timestamp>,
    /// Why nobody was, where that failed.
    pub reason: Option<String>,
}

/// The store; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens it, its schema up to date.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await? })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(self.database.pool()).await?;
        Ok(())
    }

    /// Takes a unit over: what earlier owners still write is refused from here
    /// on.
    pub async fn claim(&self, unit: Unit) -> Result<Claim, Error> {
        let row = sqlx::query(
            "INSERT INTO units (unit, epoch) VALUES ($1, 1) \
             ON CONFLICT (unit) DO UPDATE SET epoch = units.epoch + 1 RETURNING epoch",
        )
        .bind(unit.as_str())
        .fetch_one(self.database.writer())
        .await?;
        Ok(Claim { unit, epoch: row.try_get(0)? })
    }

    /// Everything that a unit goes on from; to be read after it was claimed,
    /// when nobody else can change it any more.
    pub async fn load(&self, unit: Unit) -> Result<Saved, Error> {
        let mut saved = Saved { progress: self.progress(unit).await?, ..Saved::default() };
        match unit {
            Unit::Events => saved.observations = self.observations().await?,
            Unit::Metrics => saved.cells = self.cells().await?,
            Unit::Outbox => {}
        }
        Ok(saved)
    }

    async fn progress(&self, unit: Unit) -> Result<BTreeMap<Partition, Progress>, Error> {
        let rows = sqlx::query("SELECT partition_no, raw_seq, watermark, as_of FROM progress WHERE consumer = $1")
            .bind(unit.as_str())
            .fetch_all(self.database.pool())
            .await?;
        let progress = |row: &AnyRow| {
            let progress =
                Progress { raw_seq: unsigned(row, 1)?, watermark: time_opt(row, 2)?, as_of: time_opt(row, 3)? };
            Ok((partition(row, 0)?, progress))
        };
        rows.iter().map(progress).collect()
    }

    async fn observations(&self) -> Result<Vec<Observations>, Error> {
        let journal =
            "SELECT partition_no, raw_seq, arrived, body FROM observations ORDER BY arrived, partition_no, raw_seq";
        let rows = sqlx::query(journal).fetch_all(self.database.pool()).await?;
        let observations = |row: &AnyRow| {
            Ok(Observations {
                partition: partition(row, 0)?,
                raw_seq: unsigned(row, 1)?,
                arrived: time(row, 2)?,
                entries: json(row, 3, "observation")?,
            })
        };
        rows.iter().map(observations).collect()
    }

    async fn cells(&self) -> Result<Vec<(CellKey, CellTotals)>, Error> {
        let cells = "SELECT metric, version, start_ms, dimensions, partition_no, end_ms, raw_seq, totals, exemplar, \
             retracted FROM cells";
        let rows = sqlx::query(cells).fetch_all(self.database.pool()).await?;
        let cell = |row: &AnyRow| {
            let key = CellKey {
                metric: row.try_get(0)?,
                version: row.try_get(1)?,
                start: time(row, 2)?,
                dimensions: json(row, 3, "dimensions")?,
                partition: partition(row, 4)?,
            };
            let totals = CellTotals {
                end: time(row, 5)?,
                raw_seq: unsigned(row, 6)?,
                totals: json(row, 7, "totals")?,
                exemplar: trace_opt(row, 8)?,
                retracted: row.try_get::<i64, _>(9)? != 0,
            };
            Ok((key, totals))
        };
        rows.iter().map(cell).collect()
    }

    /// Takes over what a step of a unit changed, all or nothing; repeating it
    /// changes nothing more. `notification` is what awaits new alerts; answers
    /// which are new. [`error::Error::Superseded`] where the unit has been
    /// taken over since the claim.
    pub async fn commit(
        &self,
        claim: &Claim,
        changes: &Changes,
        notification: Notification,
    ) -> Result<Vec<Uuid>, error::Error> {
        match self.written(claim, changes, notification).await? {
            None => Err(error::Error::Superseded(claim.unit)),
            Some((tx, fresh)) => {
                tx.commit().await.map_err(Error::from)?;
                Ok(fresh)
            }
        }
    }

    /// Whether a step could be committed. Nothing is.
    pub async fn try_commit(&self, claim: &Claim, changes: &Changes) -> Result<(), Error> {
        if let Some((tx, _)) = self.written(claim, changes, Notification::Off).await? {
            tx.rollback().await?;
        }
        Ok(())
    }

    async fn written(
        &self,
        claim: &Claim,
        changes: &Changes,
        notification: Notification,
    ) -> Result<Option<(Transaction<'_, Any>, Vec<Uuid>)>, Error> {
        let mut fresh = Vec::new();
        let mut tx = self.database.begin().await?;
        // The row stays locked to the end of the transaction: a take-over waits
        // for it, or makes it fail.
        let fence = sqlx::query("UPDATE units SET epoch = epoch WHERE unit = $1 AND epoch = $2")
            .bind(claim.unit.as_str())
            .bind(claim.epoch)
            .execute(&mut *tx)
            .await?;
        if fence.rows_affected() == 0 {
            return Ok(None);
        }
        for alert in &changes.alerts {
            let inserted = sqlx::query(
                "INSERT INTO alerts (id, rule, fired_at, firing, parent, notification) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(alert.firing.id.to_string())
            .bind(&alert.firing.rule)
            .bind(alert.firing.at.millis())
            .bind(text(&alert.firing, "alert")?)
            .bind(alert.parent.map(|parent| parent.to_string()))
            .bind(notification.as_str())
            .execute(&mut *tx)
            .await?;
            if inserted.rows_affected() > 0 {
                fresh.push(alert.firing.id);
            }
        }
        let cells: Vec<_> = changes.cells.iter().collect();
        for chunk in cells.chunks(rows_per_statement(CELL_COLUMNS)) {
            let sql = format!("{INSERT_CELLS} {} {UPDATE_CELLS}", placeholders(chunk.len(), CELL_COLUMNS));
            let mut insert = sqlx::query(AssertSqlSafe(sql));
            for (key, cell) in chunk {
                insert = insert
                    .bind(&key.metric)
                    .bind(&key.version)
                    .bind(key.start.millis())
                    .bind(text(&key.dimensions, "dimensions")?)
                    .bind(i64::from(key.partition.index()))
                    .bind(cell.end.millis())
                    .bind(signed(cell.raw_seq))
                    .bind(text(&cell.totals, "totals")?)
                    .bind(cell.exemplar.map(|exemplar| exemplar.to_string()))
                    .bind(i64::from(cell.retracted));
            }
            insert.execute(&mut *tx).await?;
        }
        for ((metric, version), before) in &changes.forget_cells {
            sqlx::query("DELETE FROM cells WHERE metric = $1 AND version = $2 AND start_ms < $3")
                .bind(metric)
                .bind(version)
                .bind(before.millis())
                .execute(&mut *tx)
                .await?;
        }
        if let Some(observations) = &changes.observations {
            sqlx::query(
                "INSERT INTO observations (partition_no, raw_seq, arrived, body) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (partition_no, raw_seq) DO NOTHING",
            )
            .bind(i64::from(observations.partition.index()))
            .bind(signed(observations.raw_seq))
            .bind(observations.arrived.millis())
            .bind(text(&observations.entries, "observation")?)
            .execute(&mut *tx)
            .await?;
        }
        if let Some((partition, before)) = changes.forget_observations {
            sqlx::query("DELETE FROM observations WHERE partition_no = $1 AND arrived < $2")
                .bind(i64::from(partition.index()))
                .bind(before.millis())
                .execute(&mut *tx)
                .await?;
        }
        for (partition, progress) in &changes.progress {
            sqlx::query(
                "INSERT INTO progress (consumer, partition_no, raw_seq, watermark, as_of) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (consumer, partition_no) DO UPDATE SET \
                 raw_seq = excluded.raw_seq, watermark = excluded.watermark, as_of = excluded.as_of",
            )
            .bind(claim.unit.as_str())
            .bind(i64::from(partition.index()))
            .bind(signed(progress.raw_seq))
            .bind(progress.watermark.map(Timestamp::millis))
            .bind(progress.as_of.map(Timestamp::millis))
            .execute(&mut *tx)
            .await?;
        }
        Ok(Some((tx, fresh)))
    }

    /// Transitions that do not stand in ALERTS yet, oldest first.
    pub async fn unpublished(&self, limit: i64) -> Result<Vec<AlertTransition>, Error> {
        let rows = sqlx::query(
            "SELECT firing, published, settled_at FROM alerts \
             WHERE published = 0 OR (published = 1 AND notification = 'sent') ORDER BY fired_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let firing: AlertTransition = json(row, 0, "alert")?;
                match (row.try_get::<i64, _>(1)?, time_opt(row, 2)?) {
                    (0, _) => Ok(firing),
                    (_, Some(at)) => Ok(AlertTransition { state: AlertState::Notified, at, ..firing }),
                    (_, None) => Err(Error::Malformed("notification")),
                }
            })
            .collect()
    }

    /// Takes note that a transition stands in ALERTS.
    pub async fn published(&self, transition: &AlertTransition) -> Result<(), Error> {
        let count: i64 = match transition.state {
            AlertState::Firing => 1,
            AlertState::Notified => 2,
        };
        sqlx::query("UPDATE alerts SET published = $1 WHERE id = $2 AND published < $1")
            .bind(count)
            .bind(transition.id.to_string())
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// The rules with alerts that somebody is to be told of.
    pub async fn unsent_rules(&self) -> Result<Vec<String>, Error> {
        let rows = sqlx::query("SELECT DISTINCT rule FROM alerts WHERE notification = 'pending' ORDER BY rule")
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Alerts of a rule that somebody is to be told of, oldest first.
    pub async fn unsent(&self, rule: &str, limit: i64) -> Result<Vec<Alert>, Error> {
        let rows = sqlx::query(
            "SELECT firing, parent FROM alerts WHERE notification = 'pending' AND rule = $1 ORDER BY fired_at, id LIMIT $2",
        )
        .bind(rule)
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?;
        rows.iter().map(|row| Ok(Alert { firing: json(row, 0, "alert")?, parent: trace_opt(row, 1)? })).collect()
    }

    /// Takes note of what became of the notification of these alerts.
    pub async fn settle(
        &self,
        alerts: &[Uuid],
        outcome: Notification,
        at: Timestamp,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        for id in alerts {
            sqlx::query(
                "UPDATE alerts SET notification = $1, settled_at = $2, reason = $3 WHERE id = $4 AND notification = 'pending'",
            )
            .bind(outcome.as_str())
            .bind(at.millis())
            .bind(reason)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await.map_err(Error::from)
    }

    /// The newest alerts, of one rule where it is given.
    pub async fn newest(&self, rule: Option<&str>, limit: i64) -> Result<Vec<Recorded>, Error> {
        let query = match rule {
            Some(rule) => sqlx::query(
                "SELECT firing, parent, notification, settled_at, reason FROM alerts \
                 WHERE rule = $2 ORDER BY fired_at DESC, id LIMIT $1",
            )
            .bind(limit)
            .bind(rule),
            None => sqlx::query(
                "SELECT firing, parent, notification, settled_at, reason FROM alerts \
                 ORDER BY fired_at DESC, id LIMIT $1",
            )
            .bind(limit),
        };
        let rows = query.fetch_all(self.database.pool()).await?;
        rows.iter()
            .map(|row| {
                Ok(Recorded {
                    alert: Alert { firing: json(row, 0, "alert")?, parent: trace_opt(row, 1)? },
                    notification: Notification::read(row.try_get(2)?)?,
                    settled_at: time_opt(row, 3)?,
                    reason: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Forgets alerts that fired before `before`, whatever became of them;
    /// answers how many.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM alerts WHERE fired_at < $1")
            .bind(before.millis())
            .execute(self.database.writer())
            .await?;
        Ok(done.rows_affected())
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("sequence"))
}

fn partition(row: &AnyRow, column: usize) -> Result<Partition, Error> {
    let index = u16::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Malformed("partition"))?;
    Ok(Partition::new(index))
}

fn time(row: &AnyRow, column: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

fn time_opt(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::saturating_from_millis))
}

fn trace_opt(row: &AnyRow, column: usize) -> Result<Option<TraceParent>, Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| Error::Malformed("trace"))).transpose()
}

fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: usize, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| Error::Malformed(what))
}

fn text(value: &impl Serialize, what: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Malformed(what))
}
