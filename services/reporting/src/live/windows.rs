//! Windows that change, with the totals that were heard of.
//!
//! A total goes by its position in the log, wherever it comes from: what is stored and
//! what was heard of make a whole, in whatever order they are put together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemill_domain::{Partition, Timestamp};
use tokio::sync::Notify;

use crate::{
    batch::AnswerSource,
    read_model::{
        CellState, FoldedCells, MergedCellKey, VersionName, WindowStates, keep_furthest, keep_unless_further,
    },
    store::StoredCell,
};

#[cfg(test)]
mod tests;

/// Totals in memory, by and large. Windows that changed last stay.
const MOST: usize = 50_000;

/// The windows, while somebody looks.
#[derive(Debug, Default)]
pub(crate) struct LiveWindows {
    windows: Mutex<WindowsInMemory>,
    shrunk: Notify,
}

#[derive(Debug, Default)]
struct WindowsInMemory {
    /// How often what was read before is of no use any more.
    epoch: u64,
    is_open: bool,
    windows: HashMap<(VersionName, Timestamp), LiveWindow>,
    totals: usize,
}

#[derive(Debug, Default)]
struct LiveWindow {
    states: WindowStates,
    /// Whether what is stored is in it.
    is_whole: bool,
    /// The last message of `METRICS` that was about it.
    heard: u64,
}

/// What has to be read from the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnreadWindows {
    epoch: u64,
    /// First instants of windows.
    pub(crate) starts: BTreeSet<Timestamp>,
}

impl LiveWindows {
    fn windows(&self) -> MutexGuard<'_, WindowsInMemory> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew: all that is not stored yet will be heard of.
    pub(crate) fn begin(&self) {
        let mut windows = self.windows();
        *windows = WindowsInMemory { epoch: windows.epoch + 1, is_open: true, ..WindowsInMemory::default() };
    }

    /// Forgets everything.
    pub(crate) fn end(&self) {
        let mut windows = self.windows();
        *windows = WindowsInMemory { epoch: windows.epoch + 1, ..WindowsInMemory::default() };
    }

    /// Takes in totals of messages up to this one.
    pub(crate) fn hear(&self, cells: FoldedCells, last: u64) {
        let mut windows = self.windows();
        for (version, starts) in cells.into_versions() {
            for (start, states) in starts {
                windows.change((version.clone(), start), states, keep_furthest).heard = last;
            }
        }
    }

    /// The store has more of windows than was heard of: they are to be read again.
    pub(crate) fn doubt(&self) {
        let mut windows = self.windows();
        windows.epoch += 1;
        windows.windows.values_mut().for_each(|window| window.is_whole = false);
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        while self.windows().totals > 2 * MOST {
            self.shrunk.notified().await;
        }
    }

    /// Windows of a version that are to be read from the store before these can be told.
    /// None where nobody listens.
    pub(crate) fn missing(&self, version: &VersionName, starts: &BTreeSet<Timestamp>) -> Option<UnreadWindows> {
        let windows = self.windows();
        let is_missing = |start: &&Timestamp| {
            let known = windows.windows.get(&(version.clone(), **start));
            known.is_none_or(|window| !window.is_whole)
        };
        let starts = starts.iter().filter(is_missing).copied().collect();
        windows.is_open.then_some(UnreadWindows { epoch: windows.epoch, starts })
    }

    /// Adds what the store has of windows. Answers whether that was of use: it is not, if
    /// all was begun anew meanwhile, or
    /// the store has more.
    pub(crate) fn add_stored(
        &self,
        version: &VersionName,
        missing: UnreadWindows,
        mut stored: BTreeMap<Timestamp, WindowStates>,
    ) -> bool {
        let mut windows = self.windows();
        if windows.epoch != missing.epoch {
            return false;
        }
        for start in missing.starts {
            let states = stored.remove(&start).unwrap_or_default();
            // What is stored may be a view's, which is served where it reaches as far.
            windows.change((version.clone(), start), states, keep_unless_further).is_whole = true;
        }
        true
    }

    /// Calls `visit` with all totals of these cells, cell by cell.
    pub(crate) fn each_total<E>(
        &self,
        version: &VersionName,
        keys: &[&MergedCellKey],
        mut visit: impl FnMut(StoredCell<'_>, &MergedCellKey) -> Result<(), E>,
    ) -> Result<(), E> {
        let windows = self.windows();
        for key @ MergedCellKey { start, dimensions, .. } in keys {
            let Some(window) = windows.windows.get(&(version.clone(), *start)) else { continue };
            let first = (Arc::clone(dimensions), Partition::new(0));
            let of_cell = window.states.range(first..).take_while(|((of, _), _)| of == dimensions);
            for (_, state) in of_cell.filter(|(_, state)| !state.retracted) {
                let (start, end, totals) = (*start, state.end, state.totals.clone());
                let source = AnswerSource::Speed;
                visit(StoredCell { start, end, is_joined: false, dimensions, totals, source }, key)?;
            }
        }
        Ok(())
    }

    /// Whether some of it is to go.
    pub(crate) fn is_large(&self) -> bool {
        self.windows().totals > MOST
    }

    /// Makes room: windows go that the read model has all of, which is stored up to this
    /// message.
    pub(crate) fn shrink(&self, stored: u64) {
        self.windows().shrink_to(MOST, stored);
        self.shrunk.notify_waiters();
        self.shrunk.notify_one();
    }
}

impl WindowsInMemory {
    fn change(
        &mut self,
        key: (VersionName, Timestamp),
        states: WindowStates,
        keep: fn(&mut WindowStates, (Arc<str>, Partition), CellState),
    ) -> &mut LiveWindow {
        let window = self.windows.entry(key).or_default();
        let before = window.states.len();
        states.into_iter().for_each(|(key, state)| keep(&mut window.states, key, state));
        self.totals += window.states.len() - before;
        window
    }

    fn shrink_to(&mut self, most: usize, stored: u64) {
        if self.totals <= most {
            return;
        }
        let mut oldest: Vec<_> = self.windows.iter().map(|(key, window)| (window.heard, key.clone())).collect();
        oldest.sort_unstable();
        for (heard, key) in oldest {
            if self.totals <= most || heard > stored {
                return;
            }
            self.totals -= self.windows.remove(&key).map_or(0, |window| window.states.len());
        }
    }
}
