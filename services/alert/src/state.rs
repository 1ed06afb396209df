//! What evaluation goes on from, and what a step of it changes.

use std::collections::BTreeMap;

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::TraceParent;
use tidemill_totals::Totals;

use crate::alert::FiredAlert;

/// How far a consumer has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConsumerProgress {
    /// The `RAW` sequence that it has reached.
    pub(crate) raw_seq: u64,
    /// Event time up to which the partition is known; `None` where it holds
    /// nothing back.
    pub(crate) watermark: Option<Timestamp>,
    /// When aggregation last spoke of the partition.
    pub(crate) as_of: Option<Timestamp>,
}

/// What counters counted in one step of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observations {
    pub(crate) partition: Partition,
    /// The `RAW` sequence that the step reaches.
    pub(crate) raw_seq: u64,
    /// When ingestion took the events in.
    pub(crate) arrived: Timestamp,
    /// Counter, hash of the key, event time in milliseconds.
    pub(crate) entries: Vec<(String, u64, i64)>,
}

/// What tells a partition's cell from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellName {
    pub(crate) metric: String,
    /// Version of the metric's definition.
    pub(crate) version: String,
    /// First instant of the window.
    pub(crate) start: Timestamp,
    /// Values by dimension.
    pub(crate) dimensions: BTreeMap<String, String>,
    pub(crate) partition: Partition,
}

/// A partition's totals of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellTotals {
    /// First instant after the window.
    pub(crate) end: Timestamp,
    /// The `RAW` sequence that they reach.
    pub(crate) raw_seq: u64,
    pub(crate) totals: Totals,
    /// Whether the cell was taken back, as a session that was merged into
    /// another.
    pub(crate) retracted: bool,
    /// A sampled event that is counted in them.
    pub(crate) exemplar: Option<TraceParent>,
}

/// A figure that a rule looks at, told from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FigureName {
    /// Version of the rule that looks at it.
    pub(crate) rule_version: String,
    pub(crate) table: String,
    pub(crate) measure: String,
    /// The contract and the rule of it whose failed rows are counted.
    pub(crate) contract_rule: Option<(Option<String>, String)>,
}

/// Where a rule stands with a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FigureStanding {
    /// When it was measured.
    pub(crate) measured_at: Timestamp,
    /// What it was.
    pub(crate) value: f64,
    /// Since when the rule holds, if it does.
    pub(crate) since: Option<Timestamp>,
}

/// What one step of a consumer changes, all in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StepChanges {
    pub(crate) alerts: Vec<FiredAlert>,
    pub(crate) progress: BTreeMap<Partition, ConsumerProgress>,
    pub(crate) observations: Option<Observations>,
    /// Observations of this partition that arrived earlier are not needed any more.
    pub(crate) forget_observations: Option<(Partition, Timestamp)>,
    /// Totals that reach further than before.
    pub(crate) cells: BTreeMap<CellName, CellTotals>,
    /// Windows of these metrics (name, version) before these starts are not
    /// needed any more.
    pub(crate) forget_cells: BTreeMap<(String, String), Timestamp>,
    /// Where rules stand with figures of the lake.
    pub(crate) figures: BTreeMap<FigureName, FigureStanding>,
}

impl StepChanges {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it may wait for more to be recorded with it: nobody has to be told of
    /// anything, and to read the same again comes to the same.
    pub(crate) fn may_wait(&self) -> bool {
        self.alerts.is_empty()
    }

    /// Takes in what the next step changes.
    pub(crate) fn extend(&mut self, next: Self) {
        self.alerts.extend(next.alerts);
        self.progress.extend(next.progress);
        self.observations = match (self.observations.take(), next.observations) {
            (Some(mut before), Some(next)) => {
                (before.raw_seq, before.arrived) = (next.raw_seq, before.arrived.max(next.arrived));
                before.entries.extend(next.entries);
                Some(before)
            }
            (before, next) => next.or(before),
        };
        self.forget_observations = next.forget_observations.or(self.forget_observations);
        self.cells.extend(next.cells);
        self.forget_cells.extend(next.forget_cells);
        self.figures.extend(next.figures);
    }

    /// What it is made of, apart from positions: alerts, then observations, then
    /// cells. None of them needs another.
    pub(crate) fn parts(&self) -> usize {
        self.alerts.len() + usize::from(self.observations.is_some()) + self.cells.len()
    }

    /// The same with some of its parts alone.
    #[must_use]
    pub(crate) fn with(&self, parts: &[usize]) -> Self {
        let has = |part: usize| parts.contains(&part);
        let (alerts, observations) = (self.alerts.len(), usize::from(self.observations.is_some()));
        let cells = self.cells.iter().enumerate().filter(|(place, _)| has(alerts + observations + place));
        Self {
            alerts: self.alerts.iter().enumerate().filter(|(place, _)| has(*place)).map(|(_, a)| a.clone()).collect(),
            observations: self.observations.clone().filter(|_| has(alerts)),
            cells: cells.map(|(_, (name, cell))| (name.clone(), cell.clone())).collect(),
            progress: self.progress.clone(),
            forget_observations: self.forget_observations,
            forget_cells: self.forget_cells.clone(),
            figures: self.figures.clone(),
        }
    }
}

/// What was kept of a unit.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Saved {
    pub(crate) progress: BTreeMap<Partition, ConsumerProgress>,
    /// In the order of arrival.
    pub(crate) observations: Vec<Observations>,
    pub(crate) cells: Vec<(CellName, CellTotals)>,
    pub(crate) figures: BTreeMap<FigureName, FigureStanding>,
}
