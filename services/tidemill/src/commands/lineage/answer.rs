//! The lake's answer, as far as it is shown.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_domain::Timestamp;

/// How long after its end a window may still get events that are in order, and gold may be without them.
const SETTLED_MILLIS: i64 = 5 * 60_000;

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

impl LineageTold {
    /// Whether silver has events of the window that gold has not got to.
    pub(super) fn is_behind(&self) -> bool {
        self.left_out.iter().any(|left_out| left_out.reason == BEHIND && left_out.events > 0)
    }
}

/// As the lake calls events that gold has not got to.
pub(super) const BEHIND: &str = "behind_gold";

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

impl LineageNumber {
    /// Whether events of its window may be on their way. One whose end cannot be read has ended.
    pub(super) fn is_filling(&self, now: Timestamp) -> bool {
        self.window_end.parse::<Timestamp>().is_ok_and(|end| end.plus_millis(SETTLED_MILLIS) > now)
    }
}

/// The stream's number.
#[derive(Serialize)]
pub(super) struct StreamNumber {
    pub(super) values: BTreeMap<String, Value>,
    /// As of when reporting told it.
    pub(super) as_of: Option<String>,
    /// Whether gold has the same.
    pub(super) equal: bool,
    /// Whether the two are at one place of the log, so that they have to be.
    pub(super) compared: bool,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(behind: i64, end: &str) -> LineageTold {
        let table = json!({"table": "t", "version": 1, "covers": []});
        let number = json!({"window_start": "2026-01-01T00:00:00Z", "window_end": end, "dimensions": {}, "gold": {}});
        let late = json!({"reason": "late", "events": 7, "first": []});
        let left_out = json!([late, {"reason": BEHIND, "events": behind, "first": []}]);
        let answer = json!({
            "metric": "m", "definition_version": "v", "window": "tumbling", "release": "1", "gold": table,
            "silver": table, "numbers": [number], "equal": true, "made_of": [], "left_out": left_out, "events": [],
        });
        serde_json::from_value(answer).expect("an answer")
    }

    #[test]
    fn gold_and_the_stream_have_to_be_equal_once_gold_has_all_of_the_window() {
        let now: Timestamp = "2026-01-02T00:04:00Z".parse().expect("a time");
        assert!(told(5, "2026-01-01T01:00:00Z").is_behind());
        let whole = told(0, "2026-01-01T01:00:00Z");
        assert!(!whole.is_behind() && !whole.numbers[0].is_filling(now), "late ones are in neither");
        for end in ["2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"] {
            assert!(told(0, end).numbers[0].is_filling(now), "{end}");
        }
    }
}
