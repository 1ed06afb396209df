//! Batches, as they are remembered before they are sealed.

use tidemill_domain::Timestamp;

use super::{EventKey, Marks};

/// A batch as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    pub(crate) raw_seq: u64,
    /// The log's clock at the batch.
    pub(crate) clock: Timestamp,
    /// Its events.
    pub(crate) keys: Vec<EventKey>,
    /// The business keys that it has made known, or that came again in it.
    pub(crate) business_keys: Vec<EventKey>,
    /// Which of them are duplicates; `None` for a batch of a release that did
    /// not keep them.
    pub(crate) marks: Option<Marks>,
}

impl RememberedBatch {
    /// Its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = EventKey> {
        self.keys.iter().chain(&self.business_keys).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.keys.len() + self.business_keys.len()
    }
}
