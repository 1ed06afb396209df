//! When batch views are computed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `batch`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BatchConfig {
    /// Seconds between two runs, each of which computes the days that have new events; 0 for orders alone.
    pub(crate) every_seconds: u32,
    /// Days of windows that views have.
    pub(crate) days: u32,
    /// Hours after which a run computes all of them, whatever is new; 0 for never.
    pub(crate) whole_every_hours: u32,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { every_seconds: 600, days: 90, whole_every_hours: 24 }
    }
}

impl BatchConfig {
    /// Between two runs, if there are any but those that are ordered.
    pub(crate) fn every(self) -> Option<Duration> {
        (self.every_seconds > 0).then(|| Duration::from_secs(self.every_seconds.into()))
    }

    /// After how many milliseconds all is computed.
    pub(crate) fn whole_every_millis(self) -> Option<i64> {
        (self.whole_every_hours > 0).then(|| i64::from(self.whole_every_hours) * 3_600_000)
    }
}
