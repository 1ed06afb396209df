//! Folding updates into what is stored.
//!
//! A fold gathers a chunk of messages before anything is written, so that a
//! total which changed fifty times in the chunk is written once. Everything
//! goes by position in the log: of one key the furthest state wins, in
//! whatever order and however often the updates come.

use std::collections::BTreeMap;

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{MetricsUpdate, RedrivenOutcomes, SourceBooks, UncountedSpan, VersionCounting};

use crate::{books, watermark::PartitionProgress};

mod cells;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use cells::canonical;
pub(crate) use cells::{
    CellState, FoldedCells, KeptSince, MergedCellKey, VersionName, WindowStates, keep_furthest, keep_unless_further,
};

/// Outcomes of a source's events of one hour in one partition, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutcomeCounts {
    /// The `RAW` sequence that they reach.
    pub(crate) raw_seq: u64,
    /// Counted in the metrics.
    pub(crate) counted: u64,
    /// Past the allowed lateness.
    pub(crate) late: u64,
    /// Seen before.
    pub(crate) duplicate: u64,
    /// Of these, by their business key.
    pub(crate) repeated: u64,
}

/// What a version of a metric has not counted of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountingState {
    /// The `RAW` sequence at which aggregation said so.
    pub(crate) raw_seq: u64,
    /// When it did.
    pub(crate) as_of: Timestamp,
    /// The spans.
    pub(crate) uncounted: Vec<UncountedSpan>,
}

/// Metrics updates, gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MetricsFold {
    /// Furthest totals.
    pub(crate) cells: FoldedCells,
    /// Furthest outcomes, by source, hour and partition.
    pub(crate) outcomes: BTreeMap<(String, Timestamp, Partition), OutcomeCounts>,
    /// Outcomes of events that were in dead letters, by request, partition and batch.
    pub(crate) redriven: BTreeMap<(String, Partition, u64), OutcomeCounts>,
    /// The newest word on versions, by metric, version and partition.
    pub(crate) counting: BTreeMap<(String, String, Partition), CountingState>,
    /// Newest progress.
    pub(crate) progress: BTreeMap<Partition, PartitionProgress>,
}

impl MetricsFold {
    /// Adds an update.
    pub(crate) fn observe(&mut self, update: MetricsUpdate) {
        let (partition, raw_seq, as_of) = (update.partition, update.raw_seq, update.as_of);
        if let Some(progress) = PartitionProgress::of(&update) {
            keep(&mut self.progress, partition, progress, PartitionProgress::position);
        }
        for line in update.books {
            let SourceBooks { source, hour, counted, late, duplicate, repeated } = line;
            let key = (books::known_source(source), books::hour_of(hour), partition);
            let outcome = OutcomeCounts { raw_seq, counted, late, duplicate, repeated };
            keep(&mut self.outcomes, key, outcome, |outcome| outcome.raw_seq);
        }
        for RedrivenOutcomes { redrive, raw_seq, counted, late, duplicate } in update.redriven {
            let outcomes = OutcomeCounts { raw_seq, counted, late, duplicate, repeated: 0 };
            self.redriven.insert((redrive, partition, raw_seq), outcomes);
        }
        for VersionCounting { metric, version, uncounted } in update.counting {
            let state = CountingState { raw_seq, as_of, uncounted };
            keep(&mut self.counting, (metric, version, partition), state, |said| (said.raw_seq, said.as_of));
        }
        self.cells.observe(update.cells, partition, raw_seq);
    }
}

fn keep<K: Ord, S, P: Ord>(states: &mut BTreeMap<K, S>, key: K, state: S, position: impl Fn(&S) -> P) {
    match states.get_mut(&key) {
        Some(known) if position(known) >= position(&state) => {}
        Some(known) => *known = state,
        None => drop(states.insert(key, state)),
    }
}
