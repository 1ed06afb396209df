//! What the lake tells of how good its tables are.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

/// The data of an event of the lake: the figures of a table, as measured in an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityMeasured {
    /// The layer of the table: `bronze`, `silver` or `gold`.
    pub layer: String,
    /// The table, for instance `silver.events`.
    pub table: String,
    /// Its version.
    pub version: u64,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What was measured.
    pub figures: Vec<MeasuredFigure>,
}

impl QualityMeasured {
    /// The type of the event.
    pub const TYPE: &str = "lake.quality_measured";
    /// The service that tells it.
    pub const SERVICE: &str = "lake";
}

/// A figure of a table, as it is kept and told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredFigure {
    /// What was measured, for instance `high_quality_share`.
    pub measure: String,
    /// The contract of `rule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The rule whose failed rows it counts, or whose answer it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What becomes of rows that break it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The figure.
    pub value: f64,
    /// Rows that were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<u64>,
    /// What the figure may not be beyond, by the lake's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether it is on the right side of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<bool>,
}
