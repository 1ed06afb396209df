//! The service's own database: what decides which events are late, and orders to redrive. Tables of the lake
//! say themselves how far they are.

mod batch_views;
mod lateness;
mod name;
mod quality;
mod rebuilds;
mod redrives;
#[cfg(test)]
mod tests;

use sqlx::migrate::Migrator;
use tidemill_store::{Config, Database, Error};

pub(crate) use self::{
    batch_views::{StoredBatchOrder, StoredView},
    lateness::{LatenessChanges, LatenessState},
    rebuilds::StoredRebuild,
    redrives::StoredRedrive,
};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The store; clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    /// Opens it, its schema up to date.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await? })
    }
}
