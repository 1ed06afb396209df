//! The memory of one partition.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
    sync::Arc,
};

use tidemill_domain::Timestamp;

use super::{
    BatchSpan, Doubt, EventKey, EventKeys, Mark, Marks, MemoryLimits, MemorySize, Merge, RememberedBatch, Run,
    RunChange, SealableKeys, SealedKeys, Segment, Sightings, key::Hashed, runs::Runs,
};

/// How often, by the log's clock, stored batches that nobody needs any more
/// are deleted. Until then they allow a memory of a little while ago to be
/// made again exactly, should the output have lost its last batches.
const PRUNE_EVERY_MILLIS: i64 = 60_000;

/// The events of one partition within the horizon.
///
/// The last of them are in a table, at some 60 bytes a key: an entry of 25 bytes
/// in a table that is half to all full, and the key once more in its batch. Older
/// ones are sealed: their keys lie in the store, and memory has a filter of them,
/// at 9 bits a key, or twice that for those that are not yet divided among ranges.
pub(crate) struct Duplicates {
    limits: MemoryLimits,
    /// The last batch that had each key, of those below.
    seen: HashMap<EventKey, u64, BuildHasherDefault<Hashed>>,
    batches: VecDeque<RememberedBatch>,
    /// Keys in these batches.
    keys: usize,
    /// What a release before this one has sealed, oldest first.
    segments: VecDeque<Arc<Segment>>,
    /// What was sealed since.
    runs: Runs,
    clock: Option<Timestamp>,
    /// How many of the last batches are not stored yet.
    unsaved: usize,
    /// Runs that were forgotten before their time, and are not yet deleted.
    forgotten: Vec<Arc<Run>>,
    dropped: u64,
    prune: Prune,
}

/// The batches that could be deleted when the clock stood there.
#[derive(Clone, Copy)]
struct Prune {
    below: u64,
    at: Option<Timestamp>,
}

impl Duplicates {
    /// The memory after these batches, which were sealed or not: at least those
    /// within the horizon, in the log's order.
    pub(crate) fn restore(
        limits: MemoryLimits,
        sealed: SealedKeys,
        batches: impl IntoIterator<Item = RememberedBatch>,
    ) -> Self {
        let segments: VecDeque<_> = sealed.segments.into_iter().map(Arc::new).collect();
        let runs = Runs::of(sealed.runs, sealed.next_block);
        let mut memory = Self {
            limits,
            seen: HashMap::default(),
            batches: VecDeque::new(),
            keys: 0,
            clock: segments.back().map(|segment| segment.span.last_clock).max(runs.last_clock()),
            segments,
            runs,
            unsaved: 0,
            forgotten: Vec::new(),
            dropped: 0,
            prune: Prune { below: 0, at: None },
        };
        // The store may still have runs that were forgotten. They must not be merged with
        // newer ones, also where no batch follows that moves the clock.
        if let Some(clock) = memory.clock {
            memory.advance(clock);
        }
        for mut batch in batches {
            batch.clock = memory.advance(batch.clock);
            let worked_out = batch.keys().map(|key| memory.see(batch.raw_seq, key, &Sightings::default()));
            let worked_out = worked_out.map(|is_known| if is_known { Mark::Duplicate } else { Mark::New }).collect();
            // What decided it may be forgotten by now, and with that which of its
            // business keys counted. A batch without marks has none of those.
            batch.marks.get_or_insert(worked_out);
            memory.keep(batch);
        }
        memory.unsaved = 0;
        memory.limit_sealed();
        memory.dropped = 0;
        memory
    }

    /// The keys of a batch that sealed batches may hold. What they say of them is
    /// asked of the store, and given to [`Self::mark`].
    pub(crate) fn doubts(&self, events: &[EventKeys]) -> Vec<Doubt> {
        if self.segments.is_empty() && self.runs.is_empty() {
            return Vec::new();
        }
        let keys = events.iter().flat_map(|event| [Some(event.event), event.business]).flatten();
        let unseen = keys.filter(|key| !self.seen.contains_key(key));
        let segments = |key| self.segments.iter().filter_map(move |segment| segment.doubt(key));
        unseen.flat_map(|key| segments(key).chain(self.runs.doubts(key))).collect()
    }

    /// Takes in the next batch, and tells which of its events are duplicates.
    pub(crate) fn mark(
        &mut self,
        raw_seq: u64,
        ingested_at: Timestamp,
        events: &[EventKeys],
        older: &Sightings,
    ) -> Marks {
        let clock = self.advance(ingested_at);
        let mut business_keys = Vec::new();
        let mark = |event: &EventKeys| self.mark_event(raw_seq, *event, older, &mut business_keys);
        let marks: Marks = events.iter().map(mark).collect();
        let keys = events.iter().map(|event| event.event).collect();
        self.keep(RememberedBatch { raw_seq, clock, keys, business_keys, marks: Some(marks.clone()) });
        marks
    }

    /// The log's clock at the next batch. What lies before the horizon then is
    /// forgotten.
    fn advance(&mut self, ingested_at: Timestamp) -> Timestamp {
        let clock = self.clock.map_or(ingested_at, |clock| clock.max(ingested_at));
        self.clock = Some(clock);
        let oldest = self.limits.oldest(clock);
        self.runs.forget_before(oldest);
        while self.segments.front().is_some_and(|segment| segment.span.last_clock < oldest) {
            self.segments.pop_front();
        }
        while self.batches.front().is_some_and(|batch| batch.clock < oldest) {
            self.forget_oldest();
        }
        clock
    }

    /// An event of the batch; `made_known` gathers the business keys that are
    /// remembered with it.
    fn mark_event(
        &mut self,
        raw_seq: u64,
        event: EventKeys,
        older: &Sightings,
        made_known: &mut Vec<EventKey>,
    ) -> Mark {
        let is_known = self.see(raw_seq, event.event, older);
        let is_told = event.business.is_some_and(|business| self.has(business, older));
        // An event that comes again about something else is not counted, so it
        // must not stand in the way of the event that is about that.
        if let Some(business) = event.business.filter(|_| is_told || !is_known) {
            self.seen.insert(business, raw_seq);
            made_known.push(business);
        }
        match (is_known, is_told) {
            (true, _) => Mark::Duplicate,
            (false, true) => Mark::Repeated,
            (false, false) => Mark::New,
        }
    }

    /// Puts a key into the table; tells whether it was known before.
    fn see(&mut self, raw_seq: u64, key: EventKey, older: &Sightings) -> bool {
        let is_known = self.has(key, older);
        self.seen.insert(key, raw_seq);
        is_known
    }

    fn has(&self, key: EventKey, older: &Sightings) -> bool {
        let oldest = || self.clock.map(|clock| self.limits.oldest(clock));
        self.seen.contains_key(&key) || oldest().is_some_and(|oldest| older.has_since(key, oldest))
    }

    /// Takes a batch in whose keys are in the table.
    fn keep(&mut self, batch: RememberedBatch) {
        self.keys += batch.count();
        self.batches.push_back(batch);
        self.unsaved += 1;
    }

    fn forget_oldest(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        for key in batch.keys() {
            // One that came again lives on with its later batch.
            if self.seen.get(&key) == Some(&batch.raw_seq) {
                self.seen.remove(&key);
            }
        }
        self.keys -= batch.count();
    }

    /// The keys that are to be sealed: where the table has too many, the older
    /// half of what it may have and all beyond that, as far as it is stored.
    pub(crate) fn sealable(&self) -> Option<SealableKeys> {
        if self.keys <= self.limits.keys {
            return None;
        }
        let surplus = self.keys - self.limits.keys / 2;
        let (mut keys, mut last) = (Vec::new(), None);
        for batch in self.batches.range(..self.batches.len().saturating_sub(self.unsaved)) {
            if keys.len() >= surplus {
                break;
            }
            // Also one that came again since: that may not be stored yet.
            keys.extend(batch.keys().map(|key| (key, batch.clock)));
            last = Some(batch);
        }
        let (first, last) = (self.batches.front()?, last?);
        let span =
            BatchSpan { first: first.raw_seq, last: last.raw_seq, first_clock: first.clock, last_clock: last.clock };
        (!keys.is_empty()).then_some(SealableKeys { span, keys })
    }

    /// The runs that are to be merged next.
    pub(crate) fn mergeable(&self) -> Vec<Merge> {
        let oldest = self.clock.map(|clock| self.limits.oldest(clock));
        oldest.map_or_else(Vec::new, |oldest| self.runs.mergeable(self.limits.run_keys, oldest))
    }

    /// The number of the next block of a run.
    pub(crate) fn next_block(&self) -> u64 {
        self.runs.next_block()
    }

    pub(crate) fn tick_millis(&self) -> u32 {
        self.limits.tick_millis
    }

    /// The change is stored.
    pub(crate) fn changed(&mut self, change: RunChange) {
        if let Some(span) = change.sealed {
            while self.batches.front().is_some_and(|batch| batch.raw_seq <= span.last) {
                self.forget_oldest();
            }
        }
        self.runs.apply(change);
        self.forgotten.clear();
        self.limit_sealed();
    }

    /// Runs that are to be deleted: should the process end, they must not be remembered
    /// once more when others have become smaller.
    pub(crate) fn forgotten(&self) -> &[Arc<Run>] {
        &self.forgotten
    }

    fn limit_sealed(&mut self) {
        while self.sealed_keys() > self.limits.sealed_keys && self.segments.len() + self.runs.count() > 1 {
            let run = self.runs.oldest().map(|(first, _)| first);
            if self.segments.front().is_some_and(|segment| run.is_none_or(|run| segment.span.first < run)) {
                self.dropped += self.segments.pop_front().map_or(0, |segment| segment.keys);
            } else if let Some(run) = self.runs.forget_oldest() {
                self.dropped += run.keys;
                self.forgotten.push(run);
            }
        }
    }

    fn sealed_keys(&self) -> u64 {
        self.segments.iter().map(|segment| segment.keys).sum::<u64>() + self.runs.keys()
    }

    /// The batches up to `floor` that are to be stored. One behind it was marked
    /// and did not get out: it will be marked again, by a memory without it.
    pub(crate) fn unsaved(&self, floor: u64) -> impl Iterator<Item = &RememberedBatch> {
        // A batch beyond the horizon may be gone before it was stored.
        let unsaved = self.batches.range(self.batches.len().saturating_sub(self.unsaved)..);
        unsaved.filter(move |batch| batch.raw_seq <= floor)
    }

    /// They are stored.
    pub(crate) fn saved(&mut self) {
        self.unsaved = 0;
    }

    /// The sequence below which stored batches can be deleted, once in a while.
    pub(crate) fn prunable(&mut self) -> Option<u64> {
        let clock = self.clock?;
        let due = self.prune.at.is_none_or(|at| clock >= at.plus_millis(PRUNE_EVERY_MILLIS));
        due.then(|| {
            let below = self.prune.below;
            self.prune = Prune { below: self.oldest().map_or(0, |(raw_seq, _)| raw_seq), at: Some(clock) };
            below
        })
        .filter(|below| *below > 0)
    }

    /// The marks of a batch whose keys are in the table.
    pub(crate) fn marks_of(&self, raw_seq: u64) -> Option<Marks> {
        let found = self.batches.binary_search_by_key(&raw_seq, |batch| batch.raw_seq).ok()?;
        self.batches[found].marks.clone()
    }

    /// The first batch that is remembered, and the log's clock there.
    fn oldest(&self) -> Option<(u64, Timestamp)> {
        let segment = self.segments.front().map(|segment| (segment.span.first, segment.span.first_clock));
        let sealed = segment.into_iter().chain(self.runs.oldest()).min();
        sealed.or_else(|| self.batches.front().map(|batch| (batch.raw_seq, batch.clock)))
    }

    /// How much is remembered.
    pub(crate) fn size(&self) -> MemorySize {
        let segment = self.segments.front().map(|segment| segment.span.first_clock);
        let sealed = segment.into_iter().chain(self.runs.reach()).min();
        let reach = sealed.or_else(|| self.batches.front().map(|batch| batch.clock));
        let span = reach.zip(self.clock).map(|(reach, clock)| clock.millis() - reach.millis());
        let filters = self.segments.iter().map(|segment| segment.filter.bytes());
        MemorySize {
            keys: self.seen.len(),
            sealed_keys: self.sealed_keys(),
            runs: self.segments.len() + self.runs.count(),
            filter_bytes: filters.sum::<usize>() + self.runs.bytes(),
            // A segment may begin before the horizon.
            span_millis: span.unwrap_or(0).min(self.limits.horizon_millis),
        }
    }

    /// Keys forgotten before their time since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
