//! Folding updates into what is stored.
//!
//! A fold gathers a chunk of messages before anything is written, so that a
//! total which changed fifty times in the chunk is written once. Everything
//! goes by position in the log: of one key the furthest state wins, in
//! whatever order and however often the updates come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Serialize, Serializer as _};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{
    CellMetric, CellUpdate, MetricsUpdate, RedrivenOutcomes, SourceBooks, UncountedSpan, VersionCounting,
};
use tidemill_totals::Totals;

use crate::{books, watermark::PartitionProgress};

#[cfg(test)]
mod tests;

/// Dimensions with their values, as canonical JSON: they come in the order of
/// their names.
pub(crate) fn canonical<N: Serialize, V: Serialize>(dimensions: impl IntoIterator<Item = (N, V)>) -> Arc<str> {
    let mut json = Vec::with_capacity(128);
    #[allow(clippy::expect_used, reason = "strings by string are always JSON")]
    serde_json::Serializer::new(&mut json).collect_map(dimensions).expect("strings by string are JSON");
    #[allow(clippy::expect_used, reason = "JSON is text")]
    String::from_utf8(json).expect("JSON is text").into()
}

/// One window of one metric for one combination of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MergedCellKey {
    /// The metric's name.
    pub(crate) metric: Arc<str>,
    /// The definition's version.
    pub(crate) version: Arc<str>,
    /// First instant of the window.
    pub(crate) start: Timestamp,
    /// The dimensions, as [`canonical`] JSON.
    pub(crate) dimensions: Arc<str>,
}

/// The totals of one partition in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellState {
    /// First instant after the window.
    pub(crate) end: Timestamp,
    /// The `RAW` sequence that the totals reach.
    pub(crate) raw_seq: u64,
    /// States by measure.
    pub(crate) totals: Totals,
    /// Whether it was merged into another cell: from here on it counts for
    /// nothing.
    pub(crate) retracted: bool,
}

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
    pub(crate) cells: BTreeMap<(MergedCellKey, Partition), CellState>,
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
            keep_furthest(&mut self.progress, partition, progress, PartitionProgress::position);
        }
        for line in update.books {
            let SourceBooks { source, hour, counted, late, duplicate, repeated } = line;
            let key = (books::known_source(source), books::hour_of(hour), partition);
            let outcome = OutcomeCounts { raw_seq, counted, late, duplicate, repeated };
            keep_furthest(&mut self.outcomes, key, outcome, |outcome| outcome.raw_seq);
        }
        for RedrivenOutcomes { redrive, raw_seq, counted, late, duplicate } in update.redriven {
            let outcomes = OutcomeCounts { raw_seq, counted, late, duplicate, repeated: 0 };
            self.redriven.insert((redrive, partition, raw_seq), outcomes);
        }
        for VersionCounting { metric, version, uncounted } in update.counting {
            let state = CountingState { raw_seq, as_of, uncounted };
            keep_furthest(&mut self.counting, (metric, version, partition), state, |said| (said.raw_seq, said.as_of));
        }
        for CellUpdate { group, start, end, totals, retracted, .. } in update.cells {
            let dimensions = canonical(group.dimensions());
            let CellMetric { name, version, .. } = &*group.metric;
            let key =
                MergedCellKey { metric: name.as_str().into(), version: version.as_str().into(), start, dimensions };
            let state = CellState { end, raw_seq, totals, retracted };
            keep_furthest(&mut self.cells, (key, partition), state, |state| state.raw_seq);
        }
    }

    /// The cells that changed, whatever the partition.
    pub(crate) fn changed(&self) -> BTreeSet<&MergedCellKey> {
        self.cells.keys().map(|(key, _)| key).collect()
    }

    /// The versions of metrics in it.
    pub(crate) fn versions(&self) -> BTreeSet<(&str, &str)> {
        self.cells.keys().map(|(key, _)| (&*key.metric, &*key.version)).collect()
    }
}

fn keep_furthest<K: Ord, S, P: Ord>(states: &mut BTreeMap<K, S>, key: K, state: S, position: impl Fn(&S) -> P) {
    match states.get_mut(&key) {
        Some(known) if position(known) >= position(&state) => {}
        Some(known) => *known = state,
        None => drop(states.insert(key, state)),
    }
}
