//! Points: values of one measurement at one time, told apart by tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The metric's name.
    pub measurement: String,
    /// Dimensions, partition and version.
    pub tags: BTreeMap<String, String>,
    /// Values by name; at least one.
    pub fields: BTreeMap<String, FieldValue>,
    /// The window's start.
    pub time: Timestamp,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// A whole number: counts, and amounts in millionths, exactly.
    Integer(i64),
    /// A number for charts.
    Float(f64),
}
