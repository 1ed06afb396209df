//! Checkpoints: a partition's state, at one position of the log, in one
//! transaction, written by its owner alone.

use sqlx::{Row, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::Breaker;
use tidemill_store::{Config, Database, Error as StoreError, answered};

pub(crate) use self::pages::{PageRules, Pages, WantedWindow};
use crate::{error::Error, fold::cell::CellId};

mod checkpoint;
mod counting;
mod first_points;
mod generation;
mod pages;
mod points;
mod read;
mod rows;
mod seen;
#[cfg(test)]
mod tests;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The service's own database. Every call waits while it is known to be away.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
    breaker: Breaker,
    pub(crate) rules: PageRules,
}

/// A partition as its claimant found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionClaim {
    pub(crate) partition: Partition,
    /// Which claim it is; the next one makes this one void.
    pub(crate) epoch: i64,
    /// The last batch of the log that is in the store; 0 for none.
    pub(crate) floor: u64,
    /// When ingestion took that in, where it is known.
    pub(crate) log_time: Option<Timestamp>,
}

/// A note that points may be older than they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StalePoints {
    pub(crate) id: String,
    /// Those of cells that changed after this batch.
    pub(crate) after: u64,
}

/// How much the store holds, of all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredRows {
    pub(crate) cells: u64,
    pub(crate) values: u64,
    pub(crate) books: u64,
    pub(crate) sources: u64,
}

impl Store {
    pub(crate) async fn open(config: &Config, breaker: Breaker) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await?, breaker, rules: PageRules::default() })
    }

    /// Calls the database, which may be away, or say nothing at all.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.breaker.call(answered(call)).await
    }

    /// Makes the caller a partition's owner: what an earlier one still writes
    /// is refused from here on, and what is in the store stays as it is.
    pub(crate) async fn claim(&self, partition: Partition) -> Result<PartitionClaim, Error> {
        self.call(async {
            let sql = "INSERT INTO partitions (partition, floor, epoch) VALUES ($1, 0, 1) \
                       ON CONFLICT (partition) DO UPDATE SET epoch = partitions.epoch + 1 RETURNING epoch, floor, log_time";
            let query = sqlx::query(sql).bind(i64::from(partition.index()));
            // To the end: the statement is done only then.
            let rows = query.fetch_all(self.database.writer()).await.map_err(StoreError::from)?;
            let row = rows.first().ok_or(StoreError::Malformed("claim"))?;
            let floor: i64 = row.try_get(1).map_err(StoreError::from)?;
            let epoch = row.try_get(0).map_err(StoreError::from)?;
            let log_time: Option<i64> = row.try_get(2).map_err(StoreError::from)?;
            let log_time = log_time.map(Timestamp::saturating_from_millis);
            Ok(PartitionClaim { partition, epoch, floor: unfenced(floor).cast_unsigned(), log_time })
        })
        .await
    }

    /// Has a partition begin behind a batch of the log, which came in at `log_time`, unless
    /// it has begun.
    pub(crate) async fn begin_behind(
        &self,
        partition: Partition,
        floor: u64,
        log_time: Timestamp,
    ) -> Result<(), Error> {
        self.call(async {
            let sql = "INSERT INTO partitions (partition, floor, epoch, log_time) VALUES ($1, $2, 0, $3) \
                       ON CONFLICT (partition) DO NOTHING";
            let query = sqlx::query(sql).bind(i64::from(partition.index())).bind(fenced(floor));
            let written = query.bind(log_time.millis()).execute(self.database.writer()).await;
            written.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }

    /// Fails where another has claimed the partition since: what was read
    /// before this call may be the other's.
    pub(crate) async fn check(&self, claim: &PartitionClaim) -> Result<(), Error> {
        self.call(async {
            let query = sqlx::query("SELECT epoch FROM partitions WHERE partition = $1");
            let row = query.bind(i64::from(claim.partition.index())).fetch_optional(self.database.pool()).await;
            let epoch: Option<i64> =
                row.map_err(StoreError::from)?.map(|row| row.try_get(0)).transpose().map_err(StoreError::from)?;
            if epoch == Some(claim.epoch) { Ok(()) } else { Err(Error::Superseded) }
        })
        .await
    }

    /// Tells the partition's owner that older points may have overwritten those
    /// of what changed after a batch.
    pub(crate) async fn note_stale_points(&self, claim: &PartitionClaim, after: u64) -> Result<(), Error> {
        self.call(async {
            // A claim leaves one note at most, since it is at its end.
            let id = format!("{}-{}", claim.partition, claim.epoch);
            let query = sqlx::query(
                "INSERT INTO stale_points (id, partition, raw_seq) VALUES ($1, $2, $3) \
                                     ON CONFLICT (id) DO NOTHING",
            );
            let query = query.bind(id).bind(i64::from(claim.partition.index())).bind(after.cast_signed());
            query.execute(self.database.writer()).await.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }

    /// What earlier owners have noted for a partition.
    pub(crate) async fn stale_points(&self, partition: Partition) -> Result<Vec<StalePoints>, Error> {
        self.call(async {
            let query = sqlx::query("SELECT id, raw_seq FROM stale_points WHERE partition = $1 ORDER BY id");
            let rows = query.bind(i64::from(partition.index())).fetch_all(self.database.pool()).await;
            let note = |row: &AnyRow| Ok(StalePoints { id: row.try_get(0)?, after: unsigned(row, 1)? });
            Ok(rows.map_err(StoreError::from)?.iter().map(note).collect::<Result<_, StoreError>>()?)
        })
        .await
    }

    /// The points have been written again.
    pub(crate) async fn forget_stale_points(&self, note: &StalePoints) -> Result<(), Error> {
        self.call(async {
            let query = sqlx::query("DELETE FROM stale_points WHERE id = $1").bind(&note.id);
            query.execute(self.database.writer()).await.map(|_| ()).map_err(|e| StoreError::from(e).into())
        })
        .await
    }
}

/// The floor of a partition that has pages, as it is stored: below zero, so that a
/// release that knows no pages finds it malformed, and does not begin its totals anew.
fn fenced(floor: u64) -> i64 {
    -1 - floor.cast_signed()
}

fn unfenced(stored: i64) -> i64 {
    if stored < 0 { -1 - stored } else { stored }
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::Malformed("count"))
}

fn cell_id(row: &AnyRow, column: usize) -> Result<CellId, StoreError> {
    let id: Vec<u8> = row.try_get(column)?;
    id.try_into().map_err(|_| StoreError::Malformed("cell id"))
}

fn partition(row: &AnyRow, column: usize) -> Result<Partition, StoreError> {
    let index: i64 = row.try_get(column)?;
    Ok(Partition::new(u16::try_from(index).map_err(|_| StoreError::Malformed("partition"))?))
}
