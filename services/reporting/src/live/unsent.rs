//! What has changed, and is yet to be sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tidemill_domain::Timestamp;
use tokio::sync::Notify;

use crate::read_model::MergedCellKey;

#[cfg(test)]
mod tests;

/// What has changed since it was last sent.
#[derive(Debug, Default)]
pub(crate) struct News {
    changes: Mutex<UnsentCells>,
    books: AtomicBool,
    came: Notify,
}

impl News {
    /// The cells that changed.
    pub(crate) fn changes(&self) -> MutexGuard<'_, UnsentCells> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cells changed.
    pub(crate) fn cells_changed(&self, keys: impl IntoIterator<Item = MergedCellKey>) {
        let mut changes = self.changes();
        keys.into_iter().for_each(|key| changes.changed(key));
        drop(changes);
        self.came.notify_one();
    }

    /// Cells changed, and nobody looks: who comes later fetches them.
    pub(crate) fn cells_missed(&self) {
        self.changes().overflowed = true;
        self.came.notify_one();
    }

    /// The books changed.
    pub(crate) fn books_changed(&self) {
        self.books.store(true, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Whether the books have changed since this was last asked.
    pub(crate) fn take_books(&self) -> bool {
        self.books.swap(false, Ordering::Relaxed)
    }

    /// Waits until something has changed since this last returned.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }
}

/// Cells that changed since they were last sent, and those that were sent
/// while their window was open.
#[derive(Debug, Default)]
pub(crate) struct UnsentCells {
    dirty: BTreeSet<DatedCell>,
    open: BTreeSet<(Timestamp, DatedCell)>,
    /// Whether some were let go because there were too many.
    pub(crate) overflowed: bool,
}

/// A cell, ordered by window, so that the newest go first.
type DatedCell = (Timestamp, MergedCellKey);

/// Cells that wait, or are open, at most.
const WAITING: usize = 50_000;

impl UnsentCells {
    /// A cell changed.
    pub(crate) fn changed(&mut self, key: MergedCellKey) {
        if self.dirty.len() < WAITING {
            self.dirty.insert((key.start, key));
        } else {
            self.overflowed = true;
        }
    }

    /// A cell was sent while its window, which ends at `end`, was open.
    pub(crate) fn sent_open(&mut self, end: Timestamp, key: MergedCellKey) {
        if self.open.len() < WAITING {
            self.open.insert((end, (key.start, key)));
        }
    }

    /// Windows that end no later are complete: what was sent of them is sent again.
    pub(crate) fn complete(&mut self, until: Timestamp) {
        while let Some((end, change)) = self.open.pop_first() {
            if end > until {
                self.open.insert((end, change));
                return;
            }
            self.changed(change.1);
        }
    }

    /// Takes up to `max` cells, the newest windows first, by metric.
    pub(crate) fn take(&mut self, max: usize) -> BTreeMap<Arc<str>, Vec<MergedCellKey>> {
        let mut taken: BTreeMap<Arc<str>, Vec<MergedCellKey>> = BTreeMap::new();
        for _ in 0..max {
            let Some((_, key)) = self.dirty.pop_last() else { break };
            taken.entry(key.metric.clone()).or_default().push(key);
        }
        taken
    }

    /// Whether cells wait to be sent.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.dirty.is_empty()
    }
}
