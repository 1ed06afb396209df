//! What questions may take, and when gold is computed.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_batch_views::SqlLimits;

/// Section `sql`: how much questions may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SqlConfig {
    /// Seconds until an answer is there.
    pub(crate) seconds: u32,
    /// Rows of an answer.
    pub(crate) rows: u32,
    /// Megabytes of an answer.
    pub(crate) answer_megabytes: u32,
    /// Megabytes of memory of all questions together, an equal part each; what needs more goes to disk. Gold may
    /// take as much.
    pub(crate) memory_megabytes: u32,
    /// Megabytes on disk of all questions together, an equal part each; gold may take as much.
    pub(crate) spill_megabytes: u32,
    /// The folder for that; without it, the system's for temporary files.
    pub(crate) spill_folder: Option<PathBuf>,
    /// Questions that are answered at once.
    pub(crate) at_once: u16,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            seconds: 60,
            rows: 100_000,
            answer_megabytes: 64,
            memory_megabytes: 512,
            spill_megabytes: 8192,
            spill_folder: None,
            at_once: 2,
        }
    }
}

impl SqlConfig {
    /// The limits of an engine.
    pub(crate) fn limits(&self) -> SqlLimits {
        let bytes = |megabytes: u32| (megabytes as usize) << 20;
        SqlLimits {
            seconds: self.seconds.into(),
            rows: self.rows as usize,
            answer_bytes: bytes(self.answer_megabytes),
            memory_bytes: bytes(self.memory_megabytes),
            spill_bytes: u64::from(self.spill_megabytes) << 20,
            spill_folder: self.spill_folder.clone(),
            at_once: self.at_once.into(),
            ..SqlLimits::default()
        }
    }
}

/// Section `gold`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GoldConfig {
    /// Seconds between two runs.
    pub(crate) every_seconds: u32,
}

impl Default for GoldConfig {
    fn default() -> Self {
        Self { every_seconds: 120 }
    }
}

impl GoldConfig {
    /// Between two runs.
    pub(crate) fn every(self) -> Duration {
        Duration::from_secs(self.every_seconds.into())
    }
}
