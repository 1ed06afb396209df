//! The read model's tables, by entity; [`folds`] fills them.

mod actions;
mod alerts;
mod base;
mod batch;
mod books;
mod cells;
mod changes;
mod counting;
mod dead_letters;
mod definitions;
mod folds;
mod generations;
mod kept;
mod positions;
mod rollups;
mod settlement;
mod sql;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use sqlx::migrate::Migrator;
use tidemill_store::{Config, Database, Error};

pub(crate) use actions::RedriveToSend;
pub(crate) use cells::StoredCell;
pub(crate) use changes::CellChange;
pub(crate) use dead_letters::{LetterPage, StoredLetter};
pub(crate) use folds::Folded;
pub(crate) use generations::{ComparedModel, Retired, StoredGeneration};
pub(crate) use positions::ReadModelStanding;
pub(crate) use rollups::{MergeScope, RollupProgress};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The read model's database.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the database, its schema up to date.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self { database: Database::open(config, &SQLITE, &POSTGRES).await? })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
