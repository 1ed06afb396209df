//! The rules of event time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `windows`, as far as it decides what is late. Every service that has
/// these settings must have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventTimeRules {
    /// How far behind the newest event of its source an event may be before
    /// the watermark passes it, in seconds.
    pub out_of_orderness_seconds: u32,
    /// How far behind the watermark of its source an event still corrects its
    /// window, in seconds. Later ones are late, unless they are marked as backfill.
    pub allowed_lateness_seconds: u32,
    /// An event this far ahead of its ingestion, in seconds, does not move the
    /// watermark: one wrong clock must not make all others late.
    pub max_future_seconds: u32,
    /// Sources whose watermark is kept in each partition: those that were met most
    /// recently. Another one starts afresh, so its first event is not late.
    pub max_sources: u32,
    /// How many days of event time are kept, counted back from the newest event of the
    /// partition; 0 keeps everything. Events older than that are late, also those that
    /// are marked as backfill.
    pub retention_days: u32,
}

impl Default for EventTimeRules {
    fn default() -> Self {
        Self {
            out_of_orderness_seconds: 60,
            allowed_lateness_seconds: 7 * 24 * 3600,
            max_future_seconds: 300,
            max_sources: 1000,
            retention_days: 0,
        }
    }
}
