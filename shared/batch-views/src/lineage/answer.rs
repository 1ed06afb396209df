//! What is told of a number.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_domain::Timestamp;
use utoipa::ToSchema;

/// Where an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct EventPosition {
    /// Partition of the log.
    pub partition: i32,
    /// Sequence of its batch in `RAW`.
    pub raw_seq: i64,
    /// Its line in the batch, from 0.
    pub index: i32,
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.partition, self.raw_seq, self.index)
    }
}

impl FromStr for EventPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.split('.');
            let position = Self {
                partition: parts.next()?.parse().ok()?,
                raw_seq: parts.next()?.parse().ok()?,
                index: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(position)
        };
        read().ok_or_else(|| format!("`{text}` is no position: PARTITION.SEQUENCE.INDEX, as in 3.1207.0"))
    }
}

/// How far the log is in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogReach {
    /// Partition of the log.
    pub partition: i32,
    /// The last sequence of `RAW` that is in it.
    pub raw_seq: i64,
}

/// A table that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableLineage {
    /// Its name.
    pub table: String,
    /// Its version.
    pub version: u64,
    /// When that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed_at: Option<Timestamp>,
    /// The release that wrote it last, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// How far the log is in it, of the partitions that the window has events of.
    pub covers: Vec<LogReach>,
}

/// A number of gold, and what its rows come to when they are added up again.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CellLineage {
    /// Its window.
    #[schema(value_type = String, format = DateTime)]
    pub window_start: Timestamp,
    /// The end of that.
    #[schema(value_type = String, format = DateTime)]
    pub window_end: Timestamp,
    /// Of a session: the partition of the log that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Its dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// What gold has.
    #[schema(value_type = Object)]
    pub gold: Map<String, Value>,
    /// What the rows of silver come to; `null` where there are none.
    #[schema(value_type = Option<Object>)]
    pub again: Option<Map<String, Value>>,
    /// Whether they are the same, to the last digit.
    pub equal: bool,
}

/// Events of the numbers, by partition and by the reference data that they were enriched with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventSummary {
    /// Partition of the log.
    pub partition: i32,
    /// Version of the reference data.
    pub reference: Option<i64>,
    /// Events.
    pub events: i64,
    /// Rows that they contribute.
    pub rows: i64,
    /// The first of their sequences in `RAW`.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// Why events of the window are in none of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// They came past the allowed lateness.
    Late,
    /// Gold has not got to them yet.
    BehindGold,
    /// No row of them counts: a condition does not hold, they have no lines, or what enrichment says cannot be read.
    NoRow,
    /// Bronze has them, and silver has not: duplicates, and what is set aside.
    NotInSilver,
}

/// Events that are in none of the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftOutEvents {
    /// Why.
    pub reason: LeftOutReason,
    /// How many.
    pub events: i64,
    /// The first of them.
    pub first: Vec<EventPosition>,
}

/// A row that an event contributes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RowLineage {
    /// What it is split by.
    pub dimensions: BTreeMap<String, String>,
    /// What it gives to each measure that counts it; of a distinct count, the value.
    #[schema(value_type = Object)]
    pub values: Map<String, Value>,
    /// Its money in the base currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub converted: BTreeMap<String, String>,
    /// Measures whose value it lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// An event of the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventLineage {
    /// Where it stands in the log.
    pub position: EventPosition,
    /// Identifier, unique within the source.
    pub id: String,
    /// Who produced it.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    pub time: String,
    /// When ingestion took it in.
    pub received: String,
    /// How many rows it contributes.
    pub rows_total: usize,
    /// The first of them.
    pub rows: Vec<RowLineage>,
    /// Its line in bronze; `null` where bronze has it not.
    pub event: Option<String>,
}

/// What a number is made of.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Lineage {
    /// The metric.
    pub metric: String,
    /// The version of its definition.
    pub definition_version: String,
    /// The kind of its windows: `tumbling`, `sliding` or `session`.
    pub window: &'static str,
    /// The release of the lake that told this.
    pub release: &'static str,
    /// The metric's table.
    pub gold: TableLineage,
    /// `silver.events`.
    pub silver: TableLineage,
    /// `bronze.events`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bronze: Option<TableLineage>,
    /// The numbers of the window that have the asked values.
    pub numbers: Vec<CellLineage>,
    /// Whether all of them are what their rows come to.
    pub equal: bool,
    /// The events that they are made of, in sum.
    pub made_of: Vec<EventSummary>,
    /// Events of the window that are in none of them.
    pub left_out: Vec<LeftOutEvents>,
    /// The events, in the order of their positions.
    pub events: Vec<EventLineage>,
    /// Where to go on, by `after`, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = EventPosition { partition: 3, raw_seq: 1207, index: 0 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for wrong in ["", "3.1207", "3.1207.0.1", "a.b.c"] {
            assert!(wrong.parse::<EventPosition>().is_err(), "{wrong}");
        }
    }
}
