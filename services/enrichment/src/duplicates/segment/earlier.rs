//! Segments as the release before this one has made them.

use tidemill_domain::Timestamp;

use super::{Segment, SegmentBlock, block_of};
use crate::duplicates::{BatchSpan, EventKey, FilterWidth, KeyFilter};

/// Keys of a block, about.
const BLOCK_KEYS: usize = 512;

/// Sorts keys, each with the log's clock when it was seen, into a segment and its blocks.
pub(crate) fn seal(span: BatchSpan, mut keys: Vec<(EventKey, Timestamp)>) -> (Segment, Vec<SegmentBlock>) {
    keys.sort_unstable_by_key(|(key, seen)| (*key, std::cmp::Reverse(*seen)));
    keys.dedup_by_key(|(key, _)| *key);
    let filter = KeyFilter::of(keys.iter().map(|(key, _)| key.low()), FilterWidth::Wide).expect("a filter");
    let blocks = u32::try_from(keys.len().div_ceil(BLOCK_KEYS)).expect("few");
    let mut contents = vec![SegmentBlock(Vec::new()); blocks as usize];
    for (key, seen) in &keys {
        let SegmentBlock(bytes) = &mut contents[block_of(*key, blocks) as usize];
        bytes.extend_from_slice(&key.to_bytes());
        bytes.extend_from_slice(&seen.millis().to_be_bytes());
    }
    (Segment { span, keys: keys.len() as u64, blocks, filter }, contents)
}
