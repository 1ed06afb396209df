//! Snapshots, in pages: a page that has not changed is not written again.

use std::collections::BTreeMap;

use tidemill_domain::Partition;

use crate::{
    index::Index,
    log_window::LogWindow,
    page::{Page, SnapshotError},
};

/// All that is kept of a partition. Two are equal exactly if their indexes
/// answer alike, now and after whatever comes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionSnapshot {
    /// How many interactions were learnt or passed over.
    pub learnt: u64,
    /// The pages by their numbers; each begins with the version of its form.
    pub pages: BTreeMap<u64, Vec<u8>>,
}

/// What has changed of a partition since its changes were last taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangedPages {
    /// How many interactions were learnt or passed over.
    pub learnt: u64,
    /// The pages that are new or different; without content those that are gone.
    pub pages: BTreeMap<u64, Option<Vec<u8>>>,
}

impl Index {
    /// All that is kept of a partition.
    #[must_use]
    pub fn snapshot(&self, partition: Partition) -> PartitionSnapshot {
        let Some(state) = self.partitions.get(&partition) else { return PartitionSnapshot::default() };
        let pages = state.pages.keys().filter_map(|&number| Some((number, self.page(state, number)?))).collect();
        PartitionSnapshot { learnt: state.learnt, pages }
    }

    /// What has changed of a partition since this was last called, or since it
    /// was restored: what a checkpoint has to write. If it could not be written,
    /// release the partition and restore it.
    pub fn take_changes(&mut self, partition: Partition) -> ChangedPages {
        let Some(state) = self.partitions.get_mut(&partition) else { return ChangedPages::default() };
        let changed = std::mem::take(&mut state.changed);
        let Some(state) = self.partitions.get(&partition) else { return ChangedPages::default() };
        let pages = changed.into_iter().map(|number| (number, self.page(state, number))).collect();
        ChangedPages { learnt: state.learnt, pages }
    }

    /// Restores a partition, instead of what there was of it.
    ///
    /// # Errors
    /// If a page cannot be read; the partition is empty then.
    pub fn restore(&mut self, partition: Partition, snapshot: &PartitionSnapshot) -> Result<(), SnapshotError> {
        self.release(partition);
        let window = self.settings.interactions_per_partition as usize;
        self.partitions.insert(partition, LogWindow::at(snapshot.learnt, window));
        // By their numbers, so that a visitor's sessions come oldest first.
        let restored = snapshot.pages.values().try_for_each(|page| self.restore_page(partition, page));
        match self.partitions.get_mut(&partition) {
            Some(state) if restored.is_ok() => state.changed.clear(),
            _ => self.release(partition),
        }
        restored
    }

    fn restore_page(&mut self, partition: Partition, page: &[u8]) -> Result<(), SnapshotError> {
        for stored in Page::decode(page, partition)? {
            let slot = self.insert(stored.session);
            for (name, mut item) in stored.items {
                item.item = self.items.number(&name);
                self.add(slot, item);
            }
        }
        Ok(())
    }

    /// The content of a page, if it has any.
    fn page(&self, state: &LogWindow, number: u64) -> Option<Vec<u8>> {
        let mut sessions: Vec<_> =
            state.pages.get(&number)?.iter().filter_map(|&slot| self.sessions.get(slot)).collect();
        sessions.sort_unstable_by_key(|session| session.born);
        let mut page = Page::default();
        sessions.into_iter().for_each(|session| page.push(session, |item| self.items.name(item)));
        Some(page.encode())
    }
}
