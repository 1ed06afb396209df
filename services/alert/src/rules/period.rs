//! Lengths of time in rules.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemill_definitions::parse_duration;

use super::scalar::scalar;

const DAY: i64 = 24 * 3_600_000;

/// A length of time in milliseconds, written `90s`, `10m`, `24h` or `7d`; 24
/// hours by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(i64);

impl Period {
    pub(crate) const fn millis(self) -> i64 {
        self.0
    }
}

impl Default for Period {
    fn default() -> Self {
        Self(DAY)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0 / 1000))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Alerts are kept for 30 days, and with them the ids that tell repeated
        // ones.
        scalar(deserializer, |text| match parse_duration(text)? {
            millis if millis > 30 * DAY => Err("at most 30d".into()),
            millis => Ok(Self(millis)),
        })
    }
}
