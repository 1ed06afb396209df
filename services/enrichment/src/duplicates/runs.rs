//! The runs of a partition, and when they are merged.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use tidemill_domain::Timestamp;

use super::{Doubt, EventKey, Lane, Run, RunChange, RunEntries, SealedRun, entry::Fingerprint, lane::LANES};

/// Runs are merged when together they have this many times the keys of what they are
/// to be told from: so a key is written anew but a few times, and runs stay few.
const FACTOR: u64 = 8;
/// Keys of all ranges that are divided among these, as a share of the keys of a whole run
/// of a range.
const DIVIDED_SHARE: u64 = 4;

/// A run is written anew without what is forgotten when that is about this share of it,
/// unless it is small beside a whole one.
const FORGOTTEN_SHARE: i64 = 3;
const TRIMMED_SHARE: u64 = 4;

/// What was sealed, each list oldest first.
#[derive(Default)]
pub(super) struct Runs {
    /// Of all ranges.
    fresh: VecDeque<Arc<Run>>,
    /// Of each range. What is there is older than what is in `fresh`.
    lanes: [VecDeque<Arc<Run>>; LANES as usize],
    next_block: u64,
}

/// Runs that are to be merged.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Oldest first.
    pub(crate) inputs: Vec<Arc<Run>>,
    pub(crate) into: MergeInto,
    /// What was last seen before this is left out.
    since: Option<Timestamp>,
}

/// What becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeInto {
    /// One run of all ranges.
    Fresh,
    /// One of each range.
    Lanes,
    /// One of the range that they are of.
    Lane(Lane),
}

impl Merge {
    /// For their keys, as these are read.
    pub(crate) fn entries(&self) -> RunEntries {
        RunEntries::covering(self.inputs.iter().map(|run| run.span), self.since)
    }
}

impl MergeInto {
    /// Merges keys: some time's work. `None` where no filter can be made.
    pub(crate) fn merged(self, entries: RunEntries, tick_millis: u32, next_block: u64) -> Option<Vec<SealedRun>> {
        match self {
            Self::Fresh => Some(vec![entries.whole(None, tick_millis, next_block)?]),
            Self::Lane(lane) => Some(vec![entries.whole(Some(lane), tick_millis, next_block)?]),
            Self::Lanes => entries.divided(tick_millis, next_block),
        }
    }
}

impl Runs {
    pub(super) fn of(mut runs: Vec<Run>, next_block: u64) -> Self {
        runs.sort_by_key(|run| run.span.first);
        let mut all = Self { next_block, ..Self::default() };
        runs.into_iter().for_each(|run| all.push(Arc::new(run)));
        all
    }

    fn push(&mut self, run: Arc<Run>) {
        self.list(run.lane).push_back(run);
    }

    fn list(&mut self, lane: Option<Lane>) -> &mut VecDeque<Arc<Run>> {
        match lane {
            None => &mut self.fresh,
            Some(lane) => &mut self.lanes[usize::from(lane.number())],
        }
    }

    fn lists(&self) -> impl Iterator<Item = &VecDeque<Arc<Run>>> {
        [&self.fresh].into_iter().chain(&self.lanes)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.lists().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// The blocks that may hold a key.
    pub(super) fn doubts(&self, key: EventKey) -> impl Iterator<Item = Doubt> {
        let fingerprint = Fingerprint::of(key);
        let lane = usize::from(Lane::of(fingerprint).number());
        self.lanes[lane].iter().chain(&self.fresh).filter_map(move |run| run.doubt(key, fingerprint))
    }

    /// Forgets what was last seen before a time.
    pub(super) fn forget_before(&mut self, oldest: Timestamp) {
        for list in [&mut self.fresh].into_iter().chain(&mut self.lanes) {
            while list.front().is_some_and(|run| run.span.last_clock < oldest) {
                list.pop_front();
            }
        }
    }

    /// Forgets the oldest.
    pub(super) fn forget_oldest(&mut self) -> Option<Arc<Run>> {
        let oldest = self.lists().filter_map(VecDeque::front).min_by_key(|run| (run.span.first, run.lane));
        let lane = oldest?.lane;
        self.list(lane).pop_front()
    }

    /// The first blocks of all.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<u64> {
        self.all().map(|run| run.blocks.first).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.all().count()
    }

    pub(super) fn keys(&self) -> u64 {
        self.all().map(|run| run.keys).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.all().map(|run| run.bytes()).sum()
    }

    pub(super) fn next_block(&self) -> u64 {
        self.next_block
    }

    /// The first batch that is remembered, and the log's clock there.
    pub(super) fn oldest(&self) -> Option<(u64, Timestamp)> {
        let oldest = self.lists().filter_map(VecDeque::front).min_by_key(|run| run.span.first)?;
        Some((oldest.span.first, oldest.span.first_clock))
    }

    /// The log's clock since which every range is remembered.
    pub(super) fn reach(&self) -> Option<Timestamp> {
        let lanes = self.lanes.iter().filter_map(VecDeque::front).map(|run| run.span.first_clock).max();
        lanes.or_else(|| self.fresh.front().map(|run| run.span.first_clock))
    }

    /// The log's clock at the last batch of all.
    pub(super) fn last_clock(&self) -> Option<Timestamp> {
        self.all().map(|run| run.span.last_clock).max()
    }

    /// What is to be merged next, where a whole run of a range has about so many keys, and
    /// what was last seen before `oldest` is forgotten. No run is in two of them, and they
    /// have as many keys as a whole run, about, so that a checkpoint is not long.
    pub(super) fn mergeable(&self, whole: u64, oldest: Timestamp) -> Vec<Merge> {
        let lane = |number: u8| {
            let inputs = due(&self.lanes[usize::from(number)], whole)?;
            Some(Merge { inputs, into: MergeInto::Lane(Lane::new(number)?), since: None })
        };
        let mut keys = 0;
        let merges = self.fresh_mergeable(whole).into_iter().chain((0..LANES).filter_map(lane));
        let merges = merges.take_while(|merge| {
            let before = keys;
            keys += merge.inputs.iter().map(|run| run.keys).sum::<u64>();
            before < whole
        });
        let merges: Vec<Merge> = merges.collect();
        if merges.is_empty() { self.trimmable(whole / TRIMMED_SHARE, oldest).into_iter().collect() } else { merges }
    }

    fn fresh_mergeable(&self, whole: u64) -> Option<Merge> {
        let divided = (whole / DIVIDED_SHARE).max(2);
        if self.fresh.iter().map(|run| run.keys).sum::<u64>() >= divided {
            let inputs = self.fresh.iter().cloned().collect();
            return Some(Merge { inputs, into: MergeInto::Lanes, since: None });
        }
        let inputs = due(&self.fresh, divided / FACTOR)?;
        Some(Merge { inputs, into: MergeInto::Fresh, since: None })
    }

    /// A run that is to be written anew without what is forgotten.
    fn trimmable(&self, least: u64, oldest: Timestamp) -> Option<Merge> {
        let is_due = |run: &&Arc<Run>| {
            let (first, last) = (run.span.first_clock.millis(), run.span.last_clock.millis());
            run.keys > least && oldest.millis() > first && oldest.millis() - first > (last - first) / FORGOTTEN_SHARE
        };
        let run = self.lanes.iter().filter_map(VecDeque::front).find(is_due)?;
        Some(Merge { inputs: vec![run.clone()], into: MergeInto::Lane(run.lane?), since: Some(oldest) })
    }

    /// The change is stored.
    pub(super) fn apply(&mut self, change: RunChange) {
        let removed: BTreeSet<u64> = change.removed.iter().map(|run| run.blocks.first).collect();
        for list in [&mut self.fresh].into_iter().chain(&mut self.lanes) {
            list.retain(|run| !removed.contains(&run.blocks.first));
        }
        for SealedRun { run, .. } in change.added {
            let list = self.list(run.lane);
            let place = list.partition_point(|other| other.span.first < run.span.first);
            list.insert(place, run);
        }
        self.next_block = change.next_block;
    }
}

/// The last runs of a list that are each less than half of some size, and together at
/// least that: of the largest size up to `whole` for which there are such.
fn due(list: &VecDeque<Arc<Run>>, whole: u64) -> Option<Vec<Arc<Run>>> {
    let mut size = whole;
    while size > 1 {
        let small = list.iter().rev().take_while(|run| run.keys < size.div_ceil(2));
        let (count, keys) = small.fold((0, 0), |(count, keys), run| (count + 1, keys + run.keys));
        if count > 1 && keys >= size {
            return Some(list.range(list.len() - count..).cloned().collect());
        }
        size /= FACTOR;
    }
    None
}
