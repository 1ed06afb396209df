//! Forgetting.

use tidemill_domain::Partition;

use crate::{index::Index, visitor::VisitorKey};

impl Index {
    /// Forgets a visitor; answers how many sessions that were. From then on the
    /// index equals one that passed the visitor's interactions over, as the
    /// caller must do with those that are still to come, or come again.
    pub fn forget(&mut self, visitor: &str) -> usize {
        let slots = self.visitors.get(&VisitorKey::of(visitor)).cloned().unwrap_or_default();
        slots.iter().for_each(|&slot| self.remove(slot));
        slots.len()
    }

    /// Drops a partition, as if nothing of it had been learnt.
    pub fn release(&mut self, partition: Partition) {
        let Some(state) = self.partitions.get(&partition) else { return };
        let slots: Vec<u32> = state.pages.values().flatten().copied().collect();
        slots.into_iter().for_each(|slot| self.remove(slot));
        self.partitions.remove(&partition);
    }
}
