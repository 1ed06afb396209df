//! Batches that a release before this one has sealed: read until they leave the horizon.

#[cfg(test)]
pub(crate) mod earlier;
#[cfg(test)]
mod tests;

use tidemill_domain::Timestamp;

use super::{BatchSpan, BlockName, Doubt, EventKey, KeyFilter};

/// Bytes of a key in a block: the key, and the log's clock when it was last
/// seen.
const ENTRY: usize = EventKey::BYTES + 8;

/// The keys of consecutive batches. What it holds lies in the store, in blocks
/// by ranges of keys.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) span: BatchSpan,
    /// How many keys.
    pub(crate) keys: u64,
    pub(crate) blocks: u32,
    pub(crate) filter: KeyFilter,
}

/// Keys of a range in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentBlock(Vec<u8>);

impl Segment {
    /// The block that holds a key, if it is in the segment: nothing, where it is
    /// not for sure. A segment is named by its last batch.
    pub(super) fn doubt(&self, key: EventKey) -> Option<Doubt> {
        let block = BlockName::Segment(self.span.last, block_of(key, self.blocks));
        self.filter.may_hold(key.low()).then_some(Doubt { key, block })
    }
}

/// Keys are hashes: equal ranges of them have about as many each.
fn block_of(key: EventKey, blocks: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "below the number of blocks")]
    let block = ((u128::from(key.high()) * u128::from(blocks)) >> 64) as u32;
    block
}

impl SegmentBlock {
    /// `None` where these bytes are no block.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(ENTRY).then_some(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn last_seen(&self, key: EventKey) -> Option<Timestamp> {
        let (entries, _) = self.0.as_chunks::<ENTRY>();
        let wanted = key.to_bytes();
        let found = entries.binary_search_by(|entry| entry[..EventKey::BYTES].cmp(&wanted)).ok()?;
        let millis = entries[found][EventKey::BYTES..].try_into().ok()?;
        Some(Timestamp::saturating_from_millis(i64::from_be_bytes(millis)))
    }
}
