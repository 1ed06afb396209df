//! Windows of event time.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize, de};
use tidemill_domain::Timestamp;

const MINUTE: i64 = 60_000;
const MAX_WINDOW: i64 = 366 * 24 * 60 * MINUTE;
const MIN_GAP: i64 = 1000;
const MAX_GAP: i64 = 24 * 60 * MINUTE;
/// Windows that one event may fall into.
const MAX_OVERLAP: i64 = 1000;

/// Event-time windows, counted from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Window {
    /// Each time belongs to one window.
    Tumbling {
        /// Length in milliseconds.
        size_millis: i64,
    },
    /// Windows of one length start at every step, and overlap.
    Sliding {
        /// Length in milliseconds.
        size_millis: i64,
        /// Distance between starts in milliseconds.
        step_millis: i64,
    },
    /// Times that lie less than a gap apart belong together: a window begins
    /// with the first of them and ends a gap after the last.
    ///
    /// A session is one of one partition and of one set of dimension values.
    /// So the dimensions should hold the partition key (for a shop, the
    /// customer): the same visit in two partitions would be two sessions.
    Session {
        /// Silence that ends a session, in milliseconds.
        gap_millis: i64,
    },
}

impl Window {
    /// Length in milliseconds; of a session the least one, its gap.
    pub const fn size_millis(self) -> i64 {
        match self {
            Self::Tumbling { size_millis } | Self::Sliding { size_millis, .. } => size_millis,
            Self::Session { gap_millis } => gap_millis,
        }
    }

    /// Distance between starts in milliseconds; sessions start anywhere.
    pub const fn step_millis(self) -> Option<i64> {
        match self {
            Self::Tumbling { size_millis } => Some(size_millis),
            Self::Sliding { step_millis, .. } => Some(step_millis),
            Self::Session { .. } => None,
        }
    }

    /// The kind's name.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Tumbling { .. } => "tumbling",
            Self::Sliding { .. } => "sliding",
            Self::Session { .. } => "session",
        }
    }

    /// The starts of the windows that hold `time`, earliest first. None for
    /// sessions: where one starts depends on the events around it.
    pub fn starts(self, time: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.step_millis().into_iter().flat_map(move |step| {
            let last = time.floor_to(step).millis();
            let count = (self.size_millis() - (time.millis() - last) - 1).div_euclid(step);
            (0..=count).rev().map(move |n| Timestamp::saturating_from_millis(last - n * step))
        })
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct SlidingText {
            size: String,
            step: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct SessionText {
            gap: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WindowText {
            tumbling: Option<String>,
            sliding: Option<SlidingText>,
            session: Option<SessionText>,
        }
        let text = WindowText::deserialize(deserializer)?;
        let length = |text: &str| parse_duration(text).map_err(de::Error::custom);
        let window = match (text.tumbling, text.sliding, text.session) {
            (Some(size), None, None) => Self::Tumbling { size_millis: length(&size)? },
            (None, Some(SlidingText { size, step }), None) => {
                Self::Sliding { size_millis: length(&size)?, step_millis: length(&step)? }
            }
            (None, None, Some(SessionText { gap })) => Self::Session { gap_millis: length(&gap)? },
            _ => {
                return Err(de::Error::custom(
                    "a window is `tumbling: 1m`, `sliding: {size: 5m, step: 1m}` or `session: {gap: 30m}`",
                ));
            }
        };
        if window.size_millis() > MAX_WINDOW {
            return Err(de::Error::custom("a window is at most 366 days long"));
        }
        if let Self::Session { gap_millis } = window
            && !(MIN_GAP..=MAX_GAP).contains(&gap_millis)
        {
            return Err(de::Error::custom("a session's gap is between 1s and 24h"));
        }
        if let Self::Sliding { size_millis, step_millis } = window
            && (step_millis > size_millis || size_millis / step_millis > MAX_OVERLAP)
        {
            return Err(de::Error::custom("a step is at most the window's size and at least a thousandth of it"));
        }
        Ok(window)
    }
}

/// Reads `30s`, `1m`, `2h` or `1d` as milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a duration such as 30s, 1m, 2h or 1d");
    let unit_at = text.len().saturating_sub(1);
    let (count, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1000,
        "m" => MINUTE,
        "h" => 60 * MINUTE,
        "d" => 24 * 60 * MINUTE,
        _ => return Err(wrong()),
    };
    match count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(millis) if millis > 0 => Ok(millis),
        _ => Err(wrong()),
    }
}
