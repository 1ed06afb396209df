//! What is kept of a partition beside its sessions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Sessions that begin within so many interactions share a page of the snapshot.
pub(crate) const PAGE_INTERACTIONS: u64 = 1024;

/// A place in the queue without an item of a session.
const NOBODY: u32 = u32::MAX;

/// The interactions of a partition that are within reach, and its pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogWindow {
    /// How many interactions it had so far, passed over or not: the ordinal of the next one.
    pub(crate) learnt: u64,
    /// The slots of the sessions that the latest interactions went to, the newest last.
    reach: VecDeque<u32>,
    /// The slots of the sessions on each page.
    pub(crate) pages: BTreeMap<u64, Vec<u32>>,
    /// The pages that have changed since they were taken.
    pub(crate) changed: BTreeSet<u64>,
}

impl LogWindow {
    /// As if `learnt` interactions had been passed over.
    pub(crate) fn at(learnt: u64, window: usize) -> Self {
        let within = usize::try_from(learnt).map_or(window, |learnt| learnt.min(window));
        Self { learnt, reach: VecDeque::from(vec![NOBODY; within]), ..Self::default() }
    }

    /// The ordinal of the next interaction.
    pub(crate) fn next(&mut self) -> u64 {
        self.reach.push_back(NOBODY);
        self.learnt += 1;
        self.learnt - 1
    }

    /// The first ordinal within reach.
    pub(crate) fn first(&self) -> u64 {
        self.learnt - self.reach.len() as u64
    }

    /// Notes to which session an interaction went.
    pub(crate) fn went_to(&mut self, ordinal: u64, slot: u32) {
        let place = ordinal.checked_sub(self.first()).and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place.and_then(|place| self.reach.get_mut(place)) {
            *place = slot;
        }
    }

    /// The oldest interaction and its session, if there are more than `window`.
    /// The session may have been replaced since then.
    pub(crate) fn expired(&mut self, window: usize) -> Option<(u64, u32)> {
        while self.reach.len() > window {
            let ordinal = self.first();
            match self.reach.pop_front() {
                None | Some(NOBODY) => {}
                Some(slot) => return Some((ordinal, slot)),
            }
        }
        None
    }

    pub(crate) fn begin(&mut self, born: u64, slot: u32) {
        self.pages.entry(born / PAGE_INTERACTIONS).or_default().push(slot);
        self.touch(born);
    }

    pub(crate) fn touch(&mut self, born: u64) {
        self.changed.insert(born / PAGE_INTERACTIONS);
    }

    pub(crate) fn end(&mut self, born: u64, slot: u32) {
        let page = born / PAGE_INTERACTIONS;
        if let Some(slots) = self.pages.get_mut(&page) {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.pages.remove(&page);
            }
        }
        self.touch(born);
    }

    pub(crate) fn bytes(&self) -> usize {
        // A page has half as many sessions as interactions at most times, and its place.
        let page = usize::try_from(PAGE_INTERACTIONS / 2).unwrap_or(usize::MAX) * size_of::<u32>() + 96;
        self.reach.capacity() * size_of::<u32>() + self.pages.len() * page
    }
}
