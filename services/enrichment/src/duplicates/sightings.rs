//! What blocks say of keys.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tidemill_domain::Timestamp;

use super::{EventKey, KeyBlock, SegmentBlock, entry::Fingerprint};

/// A block, as it was read.
#[derive(Debug)]
pub(crate) enum Block {
    Run(KeyBlock),
    Segment(SegmentBlock),
}

/// When keys were last seen, as far as sealed batches tell.
#[derive(Debug, Default)]
pub(crate) struct Sightings(HashMap<EventKey, Timestamp>);

impl Block {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Run(block) => block.as_bytes().len(),
            Self::Segment(block) => block.as_bytes().len(),
        }
    }

    fn last_seen(&self, key: EventKey) -> Option<Timestamp> {
        match self {
            Self::Run(block) => block.last_seen(Fingerprint::of(key)),
            Self::Segment(block) => block.last_seen(key),
        }
    }
}

impl Sightings {
    /// Takes in what a block says of a key.
    pub(crate) fn add(&mut self, key: EventKey, block: &Block) {
        if let Some(seen) = block.last_seen(key) {
            self.0.entry(key).and_modify(|last| *last = seen.max(*last)).or_insert(seen);
        }
    }

    /// Whether a key was seen then or later. Runs know the tick alone, so the time is
    /// to be the begin of one.
    pub(super) fn has_since(&self, key: EventKey, oldest: Timestamp) -> bool {
        self.0.get(&key).is_some_and(|seen| *seen >= oldest)
    }
}
