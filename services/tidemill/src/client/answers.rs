//! What a suite answers, as far as commands read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Ingestion's answer to a batch.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BatchVerdict {
    /// Events that are stored.
    pub accepted: u64,
    /// How many events were refused.
    #[serde(default)]
    pub rejected_total: u64,
    /// The first of them.
    #[serde(default)]
    pub rejected: Vec<serde_json::Value>,
}

/// The books of a suite, or of one source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// Events that came in.
    pub received: u64,
    /// Those that are in the log.
    pub accepted: u64,
    /// Those that ingestion refused.
    pub rejected: u64,
    /// Those in the totals.
    pub counted: u64,
    /// Those past the allowed lateness.
    pub late: u64,
    /// Those seen before.
    pub duplicate: u64,
    /// Of these, those by their business key: the same order under another id.
    #[serde(default)]
    pub repeated: u64,
    /// Those that are dead letters, refused ones included.
    pub dead_lettered: u64,
    /// Those on their way.
    pub in_flight: i64,
}

/// The books by source.
#[derive(Debug, Clone, Deserialize)]
pub struct Books {
    /// Whether every event is accounted for.
    pub balanced: bool,
    /// Over all sources.
    pub totals: Outcomes,
    /// By source.
    pub sources: Vec<SourceOutcomes>,
}

/// The books of one source.
#[derive(Debug, Clone, Deserialize)]
pub struct SourceOutcomes {
    /// The source's name.
    pub source: String,
    /// Whether every event of it is accounted for.
    pub balanced: bool,
    /// Its outcomes.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// By hour of ingestion, where asked for.
    #[serde(default)]
    pub hours: Vec<HourOutcomes>,
}

/// The books of one source in one hour of ingestion.
#[derive(Debug, Clone, Deserialize)]
pub struct HourOutcomes {
    /// The hour's first instant, RFC 3339.
    pub hour: String,
    /// Its outcomes.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

impl Books {
    /// The books of a source; empty for one that is not known.
    pub fn of(&self, source: &str) -> Outcomes {
        self.sources.iter().find(|s| s.source == source).map(|s| s.outcomes.clone()).unwrap_or_default()
    }
}

/// A series of a metric, as reporting gives it.
#[derive(Debug, Clone, Deserialize)]
pub struct Series {
    /// One for each combination of dimensions.
    pub series: Vec<OneSeries>,
    /// Measures that are not exact in it.
    #[serde(default)]
    pub approximate: Vec<String>,
}

/// The points of one combination of dimensions.
#[derive(Debug, Clone, Deserialize)]
pub struct OneSeries {
    /// Values by dimension.
    pub dimensions: BTreeMap<String, String>,
    /// Points by time.
    pub points: Vec<PointOfSeries>,
}

/// One window's values.
#[derive(Debug, Clone, Deserialize)]
pub struct PointOfSeries {
    /// The window's start, RFC 3339.
    pub start: String,
    /// Values by measure: counts as numbers, amounts as strings.
    pub values: BTreeMap<String, serde_json::Value>,
}
