//! Totals of a fold, by version and window.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use serde::{Serialize, Serializer as _};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{CellMetric, CellUpdate};
use tidemill_totals::Totals;

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

/// Of a window, the furthest totals by dimensions, as [`canonical`] JSON, and
/// partition.
pub(crate) type WindowStates = BTreeMap<(Arc<str>, Partition), CellState>;

/// A version of a metric: its name, and the version.
pub(crate) type VersionName = (Arc<str>, Arc<str>);

/// Since when the totals of versions are kept: windows that start earlier are gone.
pub(crate) type KeptSince = BTreeMap<VersionName, Timestamp>;

/// The furthest totals that were told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoldedCells(BTreeMap<VersionName, BTreeMap<Timestamp, WindowStates>>);

impl FoldedCells {
    /// Adds the cells of an update, which reach this sequence.
    pub(crate) fn observe(&mut self, cells: Vec<CellUpdate>, partition: Partition, raw_seq: u64) {
        let mut cells = cells.into_iter().peekable();
        // Neighbours mostly share their metric.
        while let Some(first) = cells.peek() {
            let metric = Arc::clone(&first.group.metric);
            let windows = self.windows_of(&metric);
            while let Some(cell) = cells.next_if(|cell| Arc::ptr_eq(&cell.group.metric, &metric)) {
                let CellUpdate { group, start, end, totals, retracted, exemplar: _ } = cell;
                let key = (canonical(group.dimensions()), partition);
                let state = CellState { end, raw_seq, totals, retracted };
                keep_furthest(windows.entry(start).or_default(), key, state);
            }
        }
    }

    /// Adds states of a window.
    pub(crate) fn insert(&mut self, version: &VersionName, start: Timestamp, states: WindowStates) {
        if !states.is_empty() {
            self.0.entry(version.clone()).or_default().entry(start).or_default().extend(states);
        }
    }

    fn windows_of(&mut self, CellMetric { name, version, .. }: &CellMetric) -> &mut BTreeMap<Timestamp, WindowStates> {
        self.0.entry((name.as_str().into(), version.as_str().into())).or_default()
    }

    /// Versions in the order of their names, with their windows.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&VersionName, &BTreeMap<Timestamp, WindowStates>)> {
        self.0.iter()
    }

    /// Versions with their windows.
    pub(crate) fn into_versions(self) -> impl Iterator<Item = (VersionName, BTreeMap<Timestamp, WindowStates>)> {
        self.0.into_iter()
    }

    /// Leaves out versions.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(_, version), _| keep(version));
    }

    /// Whether all of them are kept.
    pub(crate) fn are_kept(&self, kept: &KeptSince) -> bool {
        let begins = |(version, since): (&VersionName, &Timestamp)| {
            let first = self.0.get(version).and_then(BTreeMap::first_key_value);
            first.is_none_or(|(start, _)| start >= since)
        };
        kept.iter().all(begins)
    }

    /// Leaves out windows that are not kept, and versions that have no others.
    pub(crate) fn forget_before(&mut self, kept: &KeptSince) {
        for (version, since) in kept {
            if let Some(windows) = self.0.get_mut(version) {
                *windows = windows.split_off(since);
            }
        }
        self.0.retain(|_, windows| !windows.is_empty());
    }

    /// How many totals there are.
    pub(crate) fn len(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    /// The cells that changed, whatever the partition, in their order.
    pub(crate) fn changed(&self) -> impl Iterator<Item = MergedCellKey> {
        let windows = self.0.iter().flat_map(|(version, windows)| windows.iter().map(move |window| (version, window)));
        windows.flat_map(|((metric, version), (start, cells))| {
            let mut last: Option<&Arc<str>> = None;
            let dimensions = cells.keys().map(|(dimensions, _)| dimensions);
            // Partitions of a cell stand side by side.
            dimensions.filter_map(move |dimensions| match last.replace(dimensions) {
                Some(before) if before == dimensions => None,
                _ => Some(MergedCellKey {
                    metric: Arc::clone(metric),
                    version: Arc::clone(version),
                    start: *start,
                    dimensions: Arc::clone(dimensions),
                }),
            })
        })
    }
}

#[cfg(test)]
impl FromIterator<(VersionName, BTreeMap<Timestamp, WindowStates>)> for FoldedCells {
    fn from_iter<I: IntoIterator<Item = (VersionName, BTreeMap<Timestamp, WindowStates>)>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

/// Of two states of a cell, the one stays that reaches further.
pub(crate) fn keep_furthest(cells: &mut WindowStates, key: (Arc<str>, Partition), state: CellState) {
    match cells.entry(key) {
        Entry::Occupied(known) if known.get().raw_seq >= state.raw_seq => {}
        Entry::Occupied(mut known) => drop(known.insert(state)),
        Entry::Vacant(place) => drop(place.insert(state)),
    }
}

/// The same, but of two that reach as far the new one stays.
pub(crate) fn keep_unless_further(cells: &mut WindowStates, key: (Arc<str>, Partition), state: CellState) {
    match cells.entry(key) {
        Entry::Occupied(known) if known.get().raw_seq > state.raw_seq => {}
        Entry::Occupied(mut known) => drop(known.insert(state)),
        Entry::Vacant(place) => drop(place.insert(state)),
    }
}
