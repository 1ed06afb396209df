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

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellUpdate, MetricsUpdate};
use tidemill_totals::Totals;

use crate::{books, watermark::Progress};

/// Dimensions with their values, as canonical JSON: names in order.
pub fn canonical(dimensions: &BTreeMap<String, String>) -> Arc<str> {
    #[allow(clippy::expect_used, reason = "strings by string are always JSON")]
    serde_json::to_string(dimensions).expect("strings by string are JSON").into()
}

/// One window of one metric for one combination of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The metric's name.
    pub metric: Arc<str>,
    /// The definition's version.
    pub version: Arc<str>,
    /// First instant of the window.
    pub start: Timestamp,
    /// The dimensions, as [`canonical`] JSON.
    pub dimensions: Arc<str>,
}

/// The totals of one partition in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellState {
    /// First instant after the window.
    pub end: Timestamp,
    /// The `RAW` sequence that the totals reach.
    pub raw_seq: u64,
    /// States by measure.
    pub totals: Totals,
    /// Whether it was merged into another cell: from here on it counts for
    /// nothing.
    pub retracted: bool,
}

/// Outcomes of a source's events of one hour in one partition, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The `RAW` sequence that they reach.
    pub raw_seq: u64,
    /// Counted in the metrics.
    pub counted: u64,
    /// Past the allowed lateness.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
}

/// Metrics updates, gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsFold {
    /// Furthest totals.
    pub cells: BTreeMap<(CellKey, Partition), CellState>,
    /// Furthest outcomes, by source, hour and partition.
    pub outcomes: BTreeMap<(String, Timestamp, Partition), Outcome>,
    /// Newest progress.
    pub progress: BTreeMap<Partition, Progress>,
}

impl MetricsFold {
    /// Adds an update.
    pub fn observe(&mut self, update: MetricsUpdate) {
        let (partition, raw_seq) = (update.partition, update.raw_seq);
        if let Some(progress) = Progress::of(&update) {
            keep_furthest(&mut self.progress, partition, progress, Progress::position);
        }
        for line in update.books {
            let key = (books::known_source(line.source), books::hour_of(line.hour), partition);
            let outcome = Outcome { raw_seq, counted: line.counted, late: line.late, duplicate: line.duplicate };
            keep_furthest(&mut self.outcomes, key, outcome, |outcome| outcome.raw_seq);
        }
        for CellUpdate { metric, version, start, end, dimensions, totals, retracted, .. } in update.cells {
            let dimensions = canonical(&dimensions);
            let key = CellKey { metric: metric.into(), version: version.into(), start, dimensions };
            let state = CellState { end, raw_seq, totals, retracted };
            keep_furthest(&mut self.cells, (key, partition), state, |state| state.raw_seq);
        }
    }

    /// The cells that changed, whatever the partition.
    pub fn changed(&self) -> BTreeSet<&CellKey> {
        self.cells.keys().map(|(key, _)| key).collect()
    }

    /// The versions of metrics in it.
    pub fn versions(&self) -> BTreeSet<(&str, &str)> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{at, update, updates};

    fn folded<'a>(updates: impl IntoIterator<Item = &'a MetricsUpdate>) -> MetricsFold {
        let mut fold = MetricsFold::default();
        updates.into_iter().for_each(|update| fold.observe(update.clone()));
        fold
    }

    proptest! {
        #[test]
        fn order_and_repeats_change_nothing((straight, shuffled) in updates()) {
            prop_assert_eq!(folded(&straight), folded(shuffled.iter().chain(&straight)));
        }
    }

    #[test]
    fn the_furthest_totals_of_a_partition_stay() {
        let (near, far) = (update(1, 5), update(1, 11));
        assert_eq!(folded([&far, &near]), folded([&far]));
    }

    #[test]
    fn dimensions_tell_names_from_values() {
        let of = |pairs: &[(&str, &str)]| {
            canonical(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert_ne!(of(&[("a", "1\",\"b\":\"2")]), of(&[("a", "1"), ("b", "2")]));
        assert_eq!(&*of(&[("a", "\u{0}<script>")]), r#"{"a":"\u0000<script>"}"#);
    }

    #[test]
    fn hours_of_the_books_are_whole() {
        let mut strange = update(0, 3);
        strange.books[0].hour = at(3_600_123);
        let hours: Vec<_> = folded([&strange]).outcomes.into_keys().map(|(_, hour, _)| hour).collect();
        assert_eq!(hours, [at(3_600_000)]);
    }
}
