//! When units commit: all of a layer at once, so that one version of a table has
//! the rows of all of them.

use std::time::Duration;

use tokio::time::Instant;

use crate::{config::Config, unit::LakeUnit};

/// The beats at which units commit what they have gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beats {
    begun: Instant,
    bronze: Duration,
    silver: Duration,
}

impl Beats {
    /// As the settings have it, from now on.
    pub(crate) fn new(config: &Config) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Self {
            begun: Instant::now(),
            bronze: seconds(config.bronze.every_seconds),
            silver: seconds(config.silver.every_seconds),
        }
    }

    /// The first beat behind a moment.
    pub(crate) fn next(&self, unit: LakeUnit, moment: Instant) -> Instant {
        let every = match unit {
            LakeUnit::Bronze(_) | LakeUnit::Rejected | LakeUnit::Upkeep => self.bronze,
            LakeUnit::Silver(_) => self.silver,
        };
        let beats = moment.duration_since(self.begun).as_nanos() / every.as_nanos().max(1) + 1;
        self.begun + every * u32::try_from(beats).unwrap_or(u32::MAX)
    }
}
