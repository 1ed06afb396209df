//! The service's database: reference data, floors, the events seen, and orders.

mod checkpoint;
mod claims;
mod measured;
mod orders;
mod records;
mod runs;
mod segments;
#[cfg(test)]
mod tests;
mod versions;

use sqlx::migrate::Migrator;
use tidemill_domain::Currency;
use tidemill_store::{Config, Database, Error as StoreError};

pub(crate) use checkpoint::PartitionCheckpoint;
pub(crate) use claims::{ClaimsCheckpoint, ClaimsOutcome};
pub(crate) use orders::OrdersCheckpoint;
pub(crate) use versions::LoadedFile;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The open database.
pub(crate) struct Store {
    database: Database,
    /// The shop's base currency: rates that are accepted lead to it.
    base: Currency,
}

impl Store {
    pub(crate) async fn open(config: &Config, base: Currency) -> Result<Self, StoreError> {
        let store = Self { database: Database::open(config, &SQLITE, &POSTGRES).await?, base };
        store.name_bases().await?;
        Ok(store)
    }

    /// The store of another program, for reference data alone: nothing is written, and its
    /// schema stays as it is.
    pub(crate) async fn open_to_read(config: &Config, base: Currency) -> Result<Self, StoreError> {
        Ok(Self { database: Database::connect(config).await?, base })
    }

    pub(crate) fn base(&self) -> Currency {
        self.base
    }
}

/// Sequences and versions fit: both count one by one from zero.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Malformed("number"))
}
