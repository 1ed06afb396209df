//! How long rows are kept, and where.

use std::num::{NonZeroU32, NonZeroU64};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::StreamName;
use tidemill_lake_tables::{CompactionGoal, Retention};
use tidemill_service::StartError;

use super::bucket::BucketConfig;

const DAY_SECONDS: u64 = 24 * 3600;

/// Section `lake.cold`: another place for what is old.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ColdConfig {
    /// Root of the tables there: a folder, or `s3://bucket/prefix`. Without it all is kept in
    /// `lake.url`.
    pub(crate) url: Option<String>,
    /// Folders whose last day is so many days ago are moved.
    pub(crate) days: u32,
    /// Megabytes that a file should have there.
    pub(crate) file_megabytes: NonZeroU32,
    /// How a bucket is reached, if not as that of `lake.url`.
    pub(crate) s3: Option<BucketConfig>,
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self { url: None, days: 90, file_megabytes: NonZeroU32::MIN.saturating_add(511), s3: None }
    }
}

impl ColdConfig {
    pub(crate) fn goal(&self) -> CompactionGoal {
        CompactionGoal { file_bytes: megabytes(self.file_megabytes), least_files: 1 }
    }

    pub(crate) fn over(&self, now: Timestamp) -> Retention {
        Retention::of_days(self.days, now, log_days())
    }
}

/// Section `retention`: whole folders of tables are dropped once their last day is so many
/// days ago. With 0 they stay.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionConfig {
    /// Days that bronze is kept, by when ingestion took in. What it has no more cannot be
    /// made into silver again.
    pub(crate) bronze_days: u32,
    /// Days that the events and order lines of silver are kept, by their time.
    pub(crate) silver_days: u32,
    /// Days that the tables of gold by windows are kept.
    pub(crate) gold_days: u32,
}

impl RetentionConfig {
    /// What the log still has is not dropped, and the read model has as much.
    pub(super) fn check(&self, cold: &ColdConfig) -> Result<(), StartError> {
        let least = log_days() + 1;
        let days = [
            ("retention.bronze_days", self.bronze_days),
            ("retention.silver_days", self.silver_days),
            ("retention.gold_days", self.gold_days),
        ];
        if let Some((name, _)) = days.into_iter().find(|(_, days)| (1..least).contains(days)) {
            return Err(StartError::new(format!("{name} must be 0, or at least {least}: the log has the days before")));
        }
        match cold.days < least {
            true => Err(StartError::new(format!("lake.cold.days must be at least {least}"))),
            false => Ok(()),
        }
    }
}

/// What is dropped, if anything is.
pub(crate) fn retention(days: u32, now: Timestamp) -> Option<Retention> {
    (days > 0).then(|| Retention::of_days(days, now, log_days()))
}

/// Days that the log keeps events.
fn log_days() -> u32 {
    u32::try_from(StreamName::Raw.max_age().as_secs().div_ceil(DAY_SECONDS)).unwrap_or(u32::MAX - 1)
}

/// A size in bytes.
pub(super) fn megabytes(megabytes: NonZeroU32) -> NonZeroU64 {
    let megabyte = NonZeroU64::MIN.saturating_add((1 << 20) - 1);
    NonZeroU64::from(megabytes).saturating_mul(megabyte)
}
