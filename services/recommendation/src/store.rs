//! The service's own database: what was learnt lately, what is known of customers, and
//! who is forgotten.

mod erasures;
mod items;
mod keep;
mod load;
mod pages;
mod profiles;
mod prune;
mod publishing;
#[cfg(test)]
mod tests;
mod ties;
mod visits;
mod written;

use std::sync::Arc;

use sqlx::{Row, any::AnyRow, migrate::Migrator};
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::Breaker;
use tidemill_store::{Config, Database, Error as StoreError, answered};

use crate::{error::Error, learning::VisitorId};

use self::written::ItemsInStore;
pub(crate) use self::{
    erasures::{Erasure, ErasureOrder, ErasureWritten, NOTHING_FOR_MILLIS},
    items::{KeptItem, StoredItem},
    keep::{KeptStep, PartitionKeep},
    load::StoredPartition,
    pages::{PageChanges, PagesWritten},
    publishing::{PublishedStream, PublishedTo},
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The store; clones share its connections. Every call waits while it is known to be
/// away.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
    breaker: Breaker,
    /// Products that need not be written once more.
    written: Arc<ItemsInStore>,
}

impl Store {
    /// Opens it, its schema up to date, with a row for each partition.
    pub(crate) async fn open(
        config: &Config,
        breaker: Breaker,
        partitions: impl Iterator<Item = Partition>,
    ) -> Result<Self, Error> {
        let database = Database::open(config, &SQLITE, &POSTGRES).await?;
        let store = Self { database, breaker, written: Arc::default() };
        for partition in partitions {
            let sql = "INSERT INTO partitions (partition_no, epoch, floor, pages_at, learnt, erasure, settings) \
                       VALUES ($1, 0, 0, 0, 0, 0, '') ON CONFLICT (partition_no) DO NOTHING";
            let query = sqlx::query(sql).bind(number(partition));
            query.execute(store.database.writer()).await.map_err(StoreError::from)?;
        }
        Ok(store)
    }

    /// Calls the database, which may be away, or say nothing at all.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.breaker.call(answered(call)).await
    }
}

fn number(partition: Partition) -> i64 {
    i64::from(partition.index())
}

fn unsigned(row: &AnyRow, column: usize) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::Malformed("count"))
}

fn time(row: &AnyRow, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

fn visitor(row: &AnyRow, column: usize) -> Result<VisitorId, StoreError> {
    let id: Vec<u8> = row.try_get(column)?;
    id.try_into().map(VisitorId).map_err(|_| StoreError::Malformed("visitor"))
}
