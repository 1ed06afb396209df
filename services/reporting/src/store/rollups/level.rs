//! How much time a roll-up covers.

use chrono_tz::IANA_TZDB_VERSION;
use tidemill_domain::Timestamp;

use crate::{calendar::Zone, catalogue::Metric};

/// The length of an hour in milliseconds.
pub(super) const HOUR: i64 = 3_600_000;

/// The name of the level of hours.
pub(super) const HOURS: &str = "hour";

/// How much time a roll-up covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RollupLevel {
    /// An hour of UTC. It is made of cells.
    Hour,
    /// A day of the shop's zone. It is made of hours.
    Day(Zone),
}

impl RollupLevel {
    /// Its name in the tables. Days of other rules of the same zone are others.
    pub(super) fn name(self) -> String {
        match self {
            Self::Hour => HOURS.to_owned(),
            Self::Day(zone) => format!("day {zone} {IANA_TZDB_VERSION}"),
        }
    }

    /// The span that holds `time`: its first instant, and the first after it.
    pub(super) fn span_of(self, time: Timestamp) -> (Timestamp, Timestamp) {
        match self {
            Self::Hour => (time.floor_to(HOUR), time.floor_to(HOUR).plus_millis(HOUR)),
            Self::Day(zone) => zone.day_of(time),
        }
    }
}

/// Whether a metric's cells are rolled up: its windows lie side by side, and
/// whole ones make up an hour. A change of this rule is safe: what is rolled up
/// for the first time is marked as a whole.
pub(super) fn is_rolled_up(metric: &Metric) -> bool {
    metric.tile_millis().is_some_and(|millis| HOUR % millis == 0)
}
