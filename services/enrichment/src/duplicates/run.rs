//! Runs: keys of some time, in their order.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidemill_domain::Timestamp;

use super::{
    BatchSpan, BlockName, Doubt, EventKey, KeyBlock, KeyFilter, Lane, block,
    entry::{Entry, Fingerprint, ordered},
    filter::FilterWidth,
};

/// Keys of consecutive batches: of all ranges, while they are few, or of one. What it
/// holds lies in the store, in blocks.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) span: BatchSpan,
    pub(crate) lane: Option<Lane>,
    /// How many keys.
    pub(crate) keys: u64,
    pub(crate) blocks: RunBlocks,
    pub(crate) filter: KeyFilter,
}

/// The blocks of a run. A partition counts its blocks, so no two ever have one number,
/// and a run is named by the number of its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunBlocks {
    pub(crate) first: u64,
    /// The first 32 bits of the first key of each.
    pub(crate) fences: Vec<u32>,
}

impl RunBlocks {
    /// The number of the block behind the last.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.fences.len() as u64
    }

    /// The block that holds a key, if one does.
    fn of(&self, fingerprint: Fingerprint) -> Option<u64> {
        let behind = self.fences.partition_point(|fence| *fence <= fingerprint.head());
        Some(self.first + behind.checked_sub(1)? as u64)
    }
}

/// A run that is to be stored, with its blocks.
#[derive(Debug, Clone)]
pub(crate) struct SealedRun {
    pub(crate) run: Arc<Run>,
    pub(crate) blocks: Vec<KeyBlock>,
}

/// What a checkpoint changes in the runs of a partition.
#[derive(Debug, Default)]
pub(crate) struct RunChange {
    /// Batches whose keys are in runs now.
    pub(crate) sealed: Option<BatchSpan>,
    pub(crate) added: Vec<SealedRun>,
    /// What is merged into those, or forgotten.
    pub(crate) removed: Vec<Arc<Run>>,
    /// The number of the next block.
    pub(crate) next_block: u64,
}

/// Keys that are to become runs.
pub(crate) struct RunEntries {
    span: BatchSpan,
    entries: Vec<Entry>,
    /// What was last seen before this is left out.
    since: Option<Timestamp>,
}

impl RunEntries {
    /// Keys with the log's clock when they were seen; a key may be there twice.
    pub(crate) fn of(span: BatchSpan, keys: &[(EventKey, Timestamp)]) -> Self {
        let entry = |(key, seen): &(EventKey, Timestamp)| Entry::new(Fingerprint::of(*key), *seen);
        Self { span, entries: keys.iter().map(entry).collect(), since: None }
    }

    /// None yet, of all these batches.
    pub(super) fn covering(spans: impl Iterator<Item = BatchSpan>, since: Option<Timestamp>) -> Self {
        let none = BatchSpan { first: 0, last: 0, first_clock: Timestamp::EPOCH, last_clock: Timestamp::EPOCH };
        let span = spans.reduce(BatchSpan::join).unwrap_or(none);
        let first_clock = since.map_or(span.first_clock, |since| span.first_clock.max(since));
        Self { span: BatchSpan { first_clock, ..span }, entries: Vec::new(), since }
    }

    /// Takes in the keys of a block.
    pub(crate) fn extend(&mut self, block: &KeyBlock) {
        let since = self.since;
        self.entries.extend(block.entries().filter(|entry| since.is_none_or(|since| entry.seen() >= since)));
    }

    /// One run of all ranges: some time's work. `None` where no filter can be made.
    pub(crate) fn sealed(self, tick_millis: u32, next_block: u64) -> Option<SealedRun> {
        self.whole(None, tick_millis, next_block)
    }

    /// One run of all.
    pub(super) fn whole(self, lane: Option<Lane>, tick_millis: u32, next_block: u64) -> Option<SealedRun> {
        SealedRun::of(self.span, lane, &ordered(self.entries), tick_millis, next_block)
    }

    /// A run for each range that has keys.
    pub(super) fn divided(self, tick_millis: u32, mut next_block: u64) -> Option<Vec<SealedRun>> {
        let entries = ordered(self.entries);
        let lanes = entries.chunk_by(|one, other| Lane::of(one.fingerprint()) == Lane::of(other.fingerprint()));
        let run = |entries: &[Entry]| {
            let lane = entries.first().map(|entry| Lane::of(entry.fingerprint()));
            let sealed = SealedRun::of(self.span, lane, entries, tick_millis, next_block)?;
            next_block = sealed.run.blocks.end();
            Some(sealed)
        };
        lanes.map(run).collect()
    }
}

impl SealedRun {
    /// Of keys in order. `None` where there are none, or no filter can be made.
    fn of(span: BatchSpan, lane: Option<Lane>, entries: &[Entry], tick_millis: u32, first: u64) -> Option<Self> {
        if entries.is_empty() {
            return None;
        }
        let hashes = entries.iter().map(|entry| entry.fingerprint().hash());
        let filter = KeyFilter::of(hashes, FilterWidth::of(lane))?;
        let (fences, blocks) = block::cut(entries, tick_millis).into_iter().unzip();
        let place = RunBlocks { first, fences };
        let run = Run { span, lane, keys: entries.len() as u64, blocks: place, filter };
        Some(Self { run: Arc::new(run), blocks })
    }
}

impl Run {
    /// The block that holds a key, if it is in the run: nothing, where it is not for sure.
    pub(super) fn doubt(&self, key: EventKey, fingerprint: Fingerprint) -> Option<Doubt> {
        if !self.filter.may_hold(fingerprint.hash()) {
            return None;
        }
        Some(Doubt { key, block: BlockName::Run(self.blocks.of(fingerprint)?) })
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.filter.bytes() + 4 * self.blocks.fences.len()
    }
}
