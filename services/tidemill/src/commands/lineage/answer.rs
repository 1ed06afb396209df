//! The lake's answer, as far as it is shown.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(super) struct LineageTold {
    pub(super) metric: String,
    pub(super) definition_version: String,
    pub(super) window: String,
    pub(super) release: String,
    pub(super) gold: LineageTable,
    pub(super) silver: LineageTable,
    pub(super) bronze: Option<LineageTable>,
    pub(super) numbers: Vec<LineageNumber>,
    pub(super) equal: bool,
    pub(super) made_of: Vec<LineageSummary>,
    pub(super) left_out: Vec<LeftOutTold>,
    pub(super) events: Vec<LineageEvent>,
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LineageTable {
    pub(super) table: String,
    pub(super) version: u64,
    pub(super) changed_at: Option<String>,
    pub(super) release: Option<String>,
    pub(super) covers: Vec<Reach>,
}

#[derive(Deserialize)]
pub(super) struct Reach {
    pub(super) partition: i32,
    pub(super) raw_seq: i64,
}

#[derive(Deserialize)]
pub(super) struct LineageNumber {
    pub(super) window_start: String,
    pub(super) window_end: String,
    pub(super) partition: Option<i32>,
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) gold: Map<String, Value>,
    pub(super) again: Option<Map<String, Value>>,
    /// What reporting says, if it was asked.
    #[serde(skip)]
    pub(super) stream: Option<StreamNumber>,
}

/// The stream's number.
#[derive(Serialize)]
pub(super) struct StreamNumber {
    pub(super) values: BTreeMap<String, Value>,
    /// As of when reporting told it.
    pub(super) as_of: Option<String>,
    /// Whether gold has the same.
    pub(super) equal: bool,
}

#[derive(Deserialize)]
pub(super) struct LineageSummary {
    pub(super) partition: i32,
    pub(super) reference: Option<i64>,
    pub(super) events: i64,
    pub(super) rows: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

#[derive(Deserialize)]
pub(super) struct LeftOutTold {
    pub(super) reason: String,
    pub(super) events: i64,
    pub(super) first: Vec<PositionTold>,
}

#[derive(Deserialize)]
pub(super) struct PositionTold {
    partition: i32,
    raw_seq: i64,
    index: i32,
}

impl fmt::Display for PositionTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.partition, self.raw_seq, self.index)
    }
}

#[derive(Deserialize)]
pub(super) struct LineageEvent {
    pub(super) position: PositionTold,
    pub(super) id: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) time: String,
    pub(super) rows_total: usize,
    pub(super) rows: Vec<LineageRow>,
    pub(super) event: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LineageRow {
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) values: Map<String, Value>,
    #[serde(default)]
    pub(super) unread: Vec<String>,
}
