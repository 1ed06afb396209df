//! Sealed batches: keys that no table in memory holds any more.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use tidemill_domain::Timestamp;

use super::{EventKey, KeyFilter};

/// Keys of a block, about: it is read as a whole to look at one of them.
const BLOCK_KEYS: usize = 512;
/// Bytes of a key in a block: the key, and the log's clock when it was last
/// seen.
const ENTRY: usize = EventKey::BYTES + 8;

/// The keys of consecutive batches. What it holds lies in the store, in blocks
/// by ranges of keys.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) span: SegmentSpan,
    /// How many keys.
    pub(crate) keys: u64,
    pub(crate) blocks: u32,
    pub(crate) filter: KeyFilter,
}

/// The batches of a segment, which is named by the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSpan {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The log's clock at both.
    pub(crate) first_clock: Timestamp,
    pub(crate) last_clock: Timestamp,
}

/// Keys that are to become a segment.
pub(crate) struct SealableKeys {
    pub(super) span: SegmentSpan,
    /// Each with the log's clock when it was seen; a key may be there twice.
    pub(super) keys: Vec<(EventKey, Timestamp)>,
}

/// A segment that is to be stored, with its blocks.
pub(crate) struct SealedSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) blocks: Vec<Block>,
}

/// Keys of a range in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block(Vec<u8>);

/// The name of a block within a partition: its segment's, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockName {
    pub(crate) segment: u64,
    pub(crate) block: u32,
}

/// A key that a block may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) key: EventKey,
    pub(crate) block: BlockName,
}

/// When keys were last seen, as far as sealed batches tell.
#[derive(Debug, Default)]
pub(crate) struct Sightings(HashMap<EventKey, Timestamp>);

impl SealableKeys {
    /// Sorts the keys and makes the filter: some time's work.
    pub(crate) fn seal(self) -> Option<SealedSegment> {
        let Self { span, mut keys } = self;
        // Of a key that is there twice, the last sighting counts.
        keys.sort_unstable_by_key(|(key, seen)| (*key, std::cmp::Reverse(*seen)));
        keys.dedup_by_key(|(key, _)| *key);
        let filter = KeyFilter::of(keys.iter().map(|(key, _)| *key))?;
        let blocks = u32::try_from(keys.len().div_ceil(BLOCK_KEYS)).ok()?;
        let mut contents = vec![Block(Vec::new()); blocks as usize];
        for (key, seen) in &keys {
            let Block(bytes) = &mut contents[block_of(*key, blocks) as usize];
            bytes.extend_from_slice(&key.to_bytes());
            bytes.extend_from_slice(&seen.millis().to_be_bytes());
        }
        let segment = Segment { span, keys: keys.len() as u64, blocks, filter };
        Some(SealedSegment { segment: Arc::new(segment), blocks: contents })
    }
}

impl Segment {
    /// The block that holds a key, if it is in the segment: nothing, where it is
    /// not for sure.
    pub(super) fn doubt(&self, key: EventKey) -> Option<Doubt> {
        let block = BlockName { segment: self.span.last, block: block_of(key, self.blocks) };
        self.filter.may_hold(key).then_some(Doubt { key, block })
    }
}

/// Keys are hashes: equal ranges of them have about as many each.
fn block_of(key: EventKey, blocks: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "below the number of blocks")]
    let block = ((u128::from(key.high()) * u128::from(blocks)) >> 64) as u32;
    block
}

impl Block {
    /// `None` where these bytes are no block.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(ENTRY).then_some(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn last_seen(&self, key: EventKey) -> Option<Timestamp> {
        let (entries, _) = self.0.as_chunks::<ENTRY>();
        let wanted = key.to_bytes();
        let found = entries.binary_search_by(|entry| entry[..EventKey::BYTES].cmp(&wanted)).ok()?;
        let millis = entries[found][EventKey::BYTES..].try_into().ok()?;
        Some(Timestamp::saturating_from_millis(i64::from_be_bytes(millis)))
    }
}

impl Sightings {
    /// Takes in what a block says of a key.
    pub(crate) fn add(&mut self, key: EventKey, block: &Block) {
        if let Some(seen) = block.last_seen(key) {
            self.0.entry(key).and_modify(|last| *last = seen.max(*last)).or_insert(seen);
        }
    }

    /// Whether a key was seen then or later.
    pub(super) fn has_since(&self, key: EventKey, oldest: Timestamp) -> bool {
        self.0.get(&key).is_some_and(|seen| *seen >= oldest)
    }
}
