//! What a question's process is told. It comes by standard input: others see arguments and environment.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_batch_views::{ResultFormat, SqlLimits};
use tidemill_lake_tables::{Lake, S3Config, StorageConfig};

/// A question, with all that its process needs. `P` is a [`SqlPlace`], or a reference to one.
#[derive(Serialize, Deserialize)]
pub(super) struct SqlJob<P> {
    pub(super) place: P,
    pub(super) limits: SqlLimits,
    /// The process's own folder, if it has one.
    pub(super) folder: Option<PathBuf>,
    pub(super) sql: String,
    pub(super) at: Option<String>,
    pub(super) format: ResultFormat,
}

/// The tables that are asked.
#[derive(Serialize, Deserialize)]
pub(crate) struct SqlPlace {
    lake: StoredPlace,
    cold: Option<StoredPlace>,
    owner: Option<String>,
    /// Files of definitions: names and texts.
    pub(super) definitions: Vec<(String, String)>,
}

/// Where tables are, and how to get there.
#[derive(Serialize, Deserialize)]
struct StoredPlace {
    url: String,
    options: BTreeMap<String, String>,
}

impl SqlPlace {
    /// That of a lake, of its other place, and of the metrics that gold has.
    pub(crate) fn new(
        (lake, storage): (&Lake, StorageConfig),
        cold: Option<(&Lake, StorageConfig)>,
        definitions: Vec<(String, String)>,
    ) -> Self {
        Self {
            lake: StoredPlace::of(lake, storage),
            cold: cold.map(|(lake, storage)| StoredPlace::of(lake, storage)),
            owner: lake.owner().map(String::from),
            definitions,
        }
    }

    /// The lake, as its owner knows it.
    pub(super) fn open(&self) -> Result<Lake, tidemill_lake_tables::LakeError> {
        let lake = Lake::open(&self.lake.storage())?;
        Ok(match &self.owner {
            Some(owner) => lake.owned_by(owner),
            None => lake,
        })
    }

    /// Its other place.
    pub(super) fn open_cold(&self) -> Result<Option<Lake>, tidemill_lake_tables::LakeError> {
        self.cold.as_ref().map(|cold| Lake::open(&cold.storage())).transpose()
    }
}

impl StoredPlace {
    /// By the root of the lake, which is no relative path: the process works in another folder.
    fn of(lake: &Lake, storage: StorageConfig) -> Self {
        Self { url: lake.root().to_string(), options: storage.s3.0 }
    }

    fn storage(&self) -> StorageConfig {
        StorageConfig { url: self.url.clone(), s3: S3Config(self.options.clone()) }
    }
}
