//! The service's own database: alerts and what became of them, and the state
//! that lets evaluation go on where it stopped.

mod alerts;
mod cells;
mod commit;
mod figures;
mod observations;
mod progress;
mod rows;
mod units;

use sqlx::{AnyPool, migrate::Migrator};
use tidemill_store::{Config, Database, Error};

pub(crate) use self::{alerts::Recorded, units::UnitClaim};

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

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    fn pool(&self) -> &AnyPool {
        self.database.pool()
    }
}

#[cfg(test)]
mod tests;
