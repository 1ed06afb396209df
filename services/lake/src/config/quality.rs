//! How good tables have to be, and how often that is measured.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_batch_views::QualityTerms;

/// Section `quality`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QualityConfig {
    /// Seconds between two measurements; 0 measures nothing.
    pub(crate) every_seconds: u32,
    /// A table is fresh while its newest event is not older than this, in seconds.
    pub(crate) fresh_seconds: u32,
    /// Seconds that 95 of 100 events may take from ingestion to bronze and to silver.
    pub(crate) lag_seconds: u32,
    /// A row with this score, or a higher one, is of high quality.
    pub(crate) high_score: f64,
    /// The share of rows that have to be of high quality.
    pub(crate) high_quality_share: f64,
    /// Duplicates are looked for in folders with up to this many rows.
    pub(crate) duplicates_rows: u64,
    /// Seconds between two times that the questions of contracts are asked; 0 asks none.
    pub(crate) checks_every_seconds: u32,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self {
            every_seconds: 60,
            fresh_seconds: 300,
            lag_seconds: 30,
            high_score: 0.8,
            high_quality_share: 0.9,
            duplicates_rows: 2_000_000,
            checks_every_seconds: 3600,
        }
    }
}

impl QualityConfig {
    /// Between two measurements, where there are any.
    pub(crate) fn every(self) -> Option<Duration> {
        (self.every_seconds > 0).then(|| Duration::from_secs(self.every_seconds.into()))
    }

    /// Between two times that questions of contracts are asked, if ever.
    pub(crate) fn checks_every(self) -> Option<Duration> {
        (self.checks_every_seconds > 0).then(|| Duration::from_secs(self.checks_every_seconds.into()))
    }

    /// What is counted.
    pub(crate) const fn terms(self) -> QualityTerms {
        QualityTerms { high_score: self.high_score, most_rows: self.duplicates_rows }
    }

    /// What no type says about the values.
    pub(crate) fn check(self) -> Result<(), String> {
        for (name, share) in [("high_score", self.high_score), ("high_quality_share", self.high_quality_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("quality.{name} must be 0 to 1"));
            }
        }
        Ok(())
    }
}
