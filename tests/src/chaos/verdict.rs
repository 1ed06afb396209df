//! What came of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fault::Kind;

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The run's seed.
    pub seed: u64,
    /// Faults that were made.
    pub faults: u64,
    /// Distinct events that senders sent; `counted + late + dead_lettered`,
    /// where nothing is lost.
    pub sent: u64,
    /// Events that the books have as received: everything that reached the
    /// log, repetitions included.
    pub received: u64,
    /// Events that are in the totals.
    pub counted: u64,
    /// Events that were recognised as seen before.
    pub duplicate: u64,
    /// Events past the allowed lateness.
    pub late: u64,
    /// Distinct events that are dead letters.
    pub dead_lettered: u64,
    /// Invoice lines that are missing in the totals, by day and country.
    pub lost: u64,
    /// Invoice lines that are in the totals too often, by day and country.
    pub double: u64,
    /// Whether every event of every source has exactly one outcome.
    pub balanced: bool,
    /// Whether totals, books, alerts and dead letters are what they must be.
    pub equals_truth: bool,
    /// Orders that must raise one alert each, and the alerts there are.
    pub alerts: [u64; 2],
    /// How often recommendation was asked to forget a visitor.
    pub forgotten: u64,
    /// Answers of recommendation that were compared with the log.
    pub recommendations: u64,
    /// Events of the lake's bronze, where it was run.
    pub lake_events: Option<u64>,
    /// Processes that ended though nobody had ended them.
    pub ended_by_themselves: u64,
    /// How long the run took.
    pub seconds: f64,
    /// How long it took after the last fault until the books balanced.
    pub settle_seconds: f64,
    /// Faults by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// What must not be.
    pub problems: Vec<String>,
}

impl Verdict {
    /// Whether nothing is lost, nothing twice and everything in order.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.double == 0 && self.balanced && self.equals_truth && self.problems.is_empty()
    }
}
