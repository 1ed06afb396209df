//! What an operator sets.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_lake_tables::{CompactionGoal, StorageConfig, TableProperties};
use tidemill_lateness::EventTimeRules;
use tidemill_service::{AuthConfig, DefinitionsConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig};

mod batch;
mod bucket;
mod keeping;
mod openlineage;
mod quality;
mod sql;
#[cfg(test)]
mod tests;

pub(crate) use self::batch::BatchConfig;
use self::bucket::BucketConfig;
pub(crate) use self::keeping::{ColdConfig, RetentionConfig, retention};
pub(crate) use self::openlineage::OpenLineageConfig;
pub(crate) use self::quality::QualityConfig;
use self::sql::{GoldConfig, SqlConfig};

/// The configuration of the lake.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub(crate) http: HttpConfig,
    /// The log.
    #[serde(default)]
    pub(crate) nats: tidemill_bus::Config,
    /// Its own database: what decides what is late.
    pub(crate) store: tidemill_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// Who may read.
    #[serde(default, skip_serializing)]
    pub(crate) auth: AuthConfig,
    /// Where the tables are.
    pub(crate) lake: LakeConfig,
    /// Events and dead letters as they came.
    #[serde(default)]
    pub(crate) bronze: LayerConfig,
    /// Events and order lines, typed.
    #[serde(default)]
    pub(crate) silver: LayerConfig,
    /// What keeps tables quick to read.
    #[serde(default)]
    pub(crate) upkeep: UpkeepConfig,
    /// What is asked of events, and how good they are.
    #[serde(default)]
    pub(crate) contracts: ContractsConfig,
    /// How long layers are kept.
    #[serde(default)]
    pub(crate) retention: RetentionConfig,
    /// Totals of silver.
    #[serde(default)]
    pub(crate) gold: GoldConfig,
    /// Totals of silver by partition, which reporting merges with the stream's.
    #[serde(default)]
    pub(crate) batch: BatchConfig,
    /// How good tables have to be, and how often that is measured.
    #[serde(default)]
    pub(crate) quality: QualityConfig,
    /// What questions in SQL may take.
    #[serde(default)]
    pub(crate) sql: SqlConfig,
    /// Where the definitions are: the same as aggregation's.
    #[serde(default)]
    pub(crate) definitions: DefinitionsConfig,
    /// Who is told of runs.
    #[serde(default)]
    pub(crate) openlineage: OpenLineageConfig,
    /// Event time: the same settings as aggregation's.
    #[serde(default)]
    pub(crate) windows: EventTimeRules,
    /// The program that answers questions; this one, without it.
    #[serde(skip)]
    pub(crate) sql_program: Option<PathBuf>,
}

/// Section `lake`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LakeConfig {
    /// Root of all tables: a folder, or `s3://bucket/prefix`.
    pub(crate) url: String,
    /// The name by which tables know their lake. Without it one is made up and kept in
    /// `store`; give it where the tables were made under another store.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// How a bucket is reached. What is not set is taken from the environment
    /// (`AWS_ACCESS_KEY_ID` and the like).
    #[serde(default)]
    pub(crate) s3: BucketConfig,
    /// Another place for what is old.
    #[serde(default)]
    pub(crate) cold: ColdConfig,
    /// Megabytes of rows that all units together may gather before they commit.
    #[serde(default = "default_buffer")]
    pub(crate) buffer_megabytes: u32,
    /// Versions between two checkpoints of a table.
    #[serde(default = "default_checkpoint")]
    pub(crate) checkpoint_interval: u32,
    /// Hours for which the versions of a table can be gone back to.
    #[serde(default = "default_retention")]
    pub(crate) retention_hours: u32,
}

fn default_buffer() -> u32 {
    128
}

fn default_checkpoint() -> u32 {
    20
}

fn default_retention() -> u32 {
    7 * 24
}

/// Sections `bronze` and `silver`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LayerConfig {
    /// Seconds between two commits. Sooner, where the buffer is full.
    pub(crate) every_seconds: u32,
}

impl Default for LayerConfig {
    fn default() -> Self {
        Self { every_seconds: 10 }
    }
}

/// Section `contracts`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContractsConfig {
    /// Folder with data contracts (ODCS 3). One goes before that of its table that comes with the
    /// lake.
    pub(crate) folder: Option<PathBuf>,
    /// File with the rules of quality, in place of those that come with the lake.
    pub(crate) quality: Option<PathBuf>,
    /// File with members of events that are columns of `silver.events` too.
    pub(crate) columns: Option<PathBuf>,
}

/// Section `upkeep`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpkeepConfig {
    /// Minutes between two looks for small files.
    pub(crate) every_minutes: u32,
    /// Megabytes that a file should have.
    pub(crate) file_megabytes: NonZeroU32,
    /// So many smaller files in a folder of a table are put together.
    pub(crate) least_files: u32,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self { every_minutes: 15, file_megabytes: NonZeroU32::MIN.saturating_add(127), least_files: 16 }
    }
}

impl UpkeepConfig {
    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs(u64::from(self.every_minutes) * 60)
    }

    pub(crate) fn goal(&self) -> CompactionGoal {
        let file_bytes = keeping::megabytes(self.file_megabytes);
        CompactionGoal { file_bytes, least_files: self.least_files as usize }
    }
}

impl LakeConfig {
    /// Where the tables are.
    pub(crate) fn storage(&self) -> StorageConfig {
        StorageConfig { url: self.url.clone(), s3: self.s3.options() }
    }

    /// Where old folders are, if elsewhere.
    pub(crate) fn cold_storage(&self) -> Option<StorageConfig> {
        let url = self.cold.url.clone()?;
        Some(StorageConfig { url, s3: self.cold.s3.as_ref().unwrap_or(&self.s3).options() })
    }

    /// How tables are made.
    pub(crate) fn properties(&self, owner: String) -> TableProperties {
        TableProperties {
            owner,
            checkpoint_interval: self.checkpoint_interval,
            log_retention_hours: self.retention_hours,
            deleted_files_hours: self.retention_hours,
        }
    }

    /// Bytes of rows that each of so many units may gather.
    pub(crate) fn buffer_of_each(&self, units: usize) -> usize {
        ((self.buffer_megabytes as usize) << 20) / units.max(1)
    }
}

impl Config {
    /// The same, where the lake is not a program of its own: what answers questions is this one.
    #[doc(hidden)]
    #[must_use]
    pub fn with_sql_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.sql_program = Some(program.into());
        self
    }

    /// What no type says about the values.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let positive = [
            ("bronze.every_seconds", self.bronze.every_seconds),
            ("silver.every_seconds", self.silver.every_seconds),
            ("gold.every_seconds", self.gold.every_seconds),
            ("batch.days", self.batch.days),
            ("sql.seconds", self.sql.seconds),
            ("sql.rows", self.sql.rows),
            ("sql.memory_megabytes", self.sql.memory_megabytes),
            ("sql.at_once", self.sql.at_once.into()),
            ("lake.buffer_megabytes", self.lake.buffer_megabytes),
            ("lake.checkpoint_interval", self.lake.checkpoint_interval),
            ("lake.retention_hours", self.lake.retention_hours),
            ("upkeep.every_minutes", self.upkeep.every_minutes),
            ("windows.max_sources", self.windows.max_sources),
            ("openlineage.timeout_seconds", self.openlineage.timeout_seconds),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(StartError::new(format!("{name} must be at least 1"))),
            None => {
                self.quality.check().map_err(StartError::new)?;
                self.openlineage.check()?;
                self.retention.check(&self.lake.cold)
            }
        }
    }
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}
