//! Positions as SQL has them.

use serde_json::{Map, Value};

use super::EventPosition;

/// A member of a row that is a whole number.
pub(super) fn whole(row: &Map<String, Value>, name: &str) -> i64 {
    row.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// The same, of a column of 32 bits.
pub(super) fn int(row: &Map<String, Value>, name: &str) -> i32 {
    i32::try_from(whole(row, name)).unwrap_or(i32::MAX)
}

/// A member of a row that is a text.
pub(super) fn text(row: &Map<String, Value>, name: &str) -> Option<String> {
    row.get(name).and_then(Value::as_str).map(String::from)
}

impl EventPosition {
    /// Of a row with its three columns.
    pub(super) fn of(row: &Map<String, Value>) -> Self {
        Self { partition: int(row, "partition"), raw_seq: whole(row, "raw_seq"), index: int(row, "index") }
    }

    /// A condition of SQL for what stands behind it, by the columns of rows.
    pub(super) fn before(&self) -> String {
        let Self { partition, raw_seq, index } = self;
        format!(
            "(\"partition\" > {partition} OR \"partition\" = {partition} AND (\"#raw_seq\" > {raw_seq} \
             OR \"#raw_seq\" = {raw_seq} AND \"#index\" > {index}))"
        )
    }

    /// As a row of `VALUES`.
    pub(super) fn values(&self) -> String {
        format!("({}, {}, {})", self.partition, self.raw_seq, self.index)
    }
}
