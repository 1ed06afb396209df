//! What is asked of a suite.

use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;

/// What is asked of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SuiteNeeds {
    /// How soon a number is needed.
    pub latency: Latency,
    /// People who look after it.
    pub team: u32,
    /// How far back numbers must be made again.
    pub history: LookBack,
    /// How often definitions change.
    pub changes: Changes,
    /// Who asks the events themselves.
    pub tables: Tables,
    /// What the suite does by itself.
    pub act: Reaction,
    /// Events on a day.
    pub events: EventsPerDay,
}

/// How soon a number is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Latency {
    /// Somebody watches it move
    SubSecond,
    /// Somebody waits for it
    Seconds,
    /// Somebody comes back for it
    Minutes,
    /// It is read tomorrow
    Hours,
}

impl Latency {
    /// Whether tables that are written every some seconds are too slow.
    pub(super) fn is_live(self) -> bool {
        self <= Self::Seconds
    }
}

/// How far back numbers must be made again, after a definition has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookBack {
    /// As far as the log has events: 7 days
    Week,
    /// A quarter
    Months,
    /// Three years, or more
    Years,
}

impl LookBack {
    /// So many days, by and large.
    pub(super) const fn days(self) -> u64 {
        match self {
            Self::Week => 7,
            Self::Months => 90,
            Self::Years => 3 * 365,
        }
    }
}

/// How often definitions of numbers change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changes {
    /// A few times a year
    Rarely,
    /// Every week or so
    Often,
}

/// Who asks the events themselves, by SQL or by another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tables {
    /// Nobody
    No,
    /// Analysts, auditors, or models that are trained on them
    Yes,
}

/// What the suite does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// It shows numbers
    No,
    /// It alerts somebody
    Alert,
    /// It recommends products
    Recommend,
}

/// Events on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EventsPerDay(pub(super) u64);

impl Default for EventsPerDay {
    fn default() -> Self {
        Self(1_000_000)
    }
}

/// Why a number of events is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of events: write it as 250000, 250k, 20M or 1G")]
pub struct NotEvents(String);

impl FromStr for EventsPerDay {
    type Err = NotEvents;

    fn from_str(text: &str) -> Result<Self, NotEvents> {
        let wrong = || NotEvents(text.to_owned());
        let (digits, factor) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1_000),
            Some((at, 'M')) => (&text[..at], 1_000_000),
            Some((at, 'G')) => (&text[..at], 1_000_000_000),
            _ => (text, 1),
        };
        let count = digits.replace('_', "").parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
        count.filter(|count| *count > 0).map(Self).ok_or_else(wrong)
    }
}
