//! The memory of one partition.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
};

use tidemill_domain::Timestamp;

use super::{EventKey, EventKeys, Mark, Marks, key::Hashed};

/// How often, by the log's clock, stored batches that nobody needs any more
/// are deleted. Until then they allow a memory of a little while ago to be
/// made again exactly, should the output have lost its last batches.
const PRUNE_EVERY_MILLIS: i64 = 60_000;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryLimits {
    /// For how long, by the log's clock.
    pub(crate) horizon_millis: i64,
    /// How many keys at most: one of each event, and a business key of some.
    pub(crate) keys: usize,
}

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
    fn count(&self) -> usize {
        self.keys.len() + self.business_keys.len()
    }
}

/// The events of one partition within the horizon.
///
/// Takes some 60 bytes per key: an entry of 25 bytes in a table that is
/// half to all full, and the key once more in its batch.
pub(crate) struct Duplicates {
    limits: MemoryLimits,
    /// The last batch that had each key.
    seen: HashMap<EventKey, u64, BuildHasherDefault<Hashed>>,
    batches: VecDeque<RememberedBatch>,
    keys: usize,
    clock: Option<Timestamp>,
    /// How many of the last batches are not stored yet.
    unsaved: usize,
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
    /// The memory after these batches: at least those within the limits, in
    /// the log's order.
    pub(crate) fn restore(limits: MemoryLimits, batches: impl IntoIterator<Item = RememberedBatch>) -> Self {
        let mut memory = Self {
            limits,
            seen: HashMap::default(),
            batches: VecDeque::new(),
            keys: 0,
            clock: None,
            unsaved: 0,
            dropped: 0,
            prune: Prune { below: 0, at: None },
        };
        for mut batch in batches {
            batch.clock = memory.advance(batch.clock);
            let worked_out = batch.keys.iter().map(|key| memory.see(batch.raw_seq, *key)).collect();
            // What decided it may be forgotten by now, and with that which of its
            // business keys counted: those that did are stored.
            batch.marks.get_or_insert(worked_out);
            for key in &batch.business_keys {
                memory.seen.insert(*key, batch.raw_seq);
            }
            memory.keep(batch);
        }
        memory.unsaved = 0;
        memory.dropped = 0;
        memory
    }

    /// Takes in the next batch, and tells which of its events are duplicates.
    pub(crate) fn mark(&mut self, raw_seq: u64, ingested_at: Timestamp, events: &[EventKeys]) -> Marks {
        let clock = self.advance(ingested_at);
        let mut business_keys = Vec::new();
        let marks: Marks = events.iter().map(|event| self.mark_event(raw_seq, *event, &mut business_keys)).collect();
        let keys = events.iter().map(|event| event.event).collect();
        self.keep(RememberedBatch { raw_seq, clock, keys, business_keys, marks: Some(marks.clone()) });
        marks
    }

    /// The log's clock at the next batch. What lies before the horizon then is
    /// forgotten.
    fn advance(&mut self, ingested_at: Timestamp) -> Timestamp {
        let clock = self.clock.map_or(ingested_at, |clock| clock.max(ingested_at));
        self.clock = Some(clock);
        let oldest = clock.plus_millis(-self.limits.horizon_millis);
        while self.batches.front().is_some_and(|batch| batch.clock < oldest) {
            self.forget_oldest();
        }
        clock
    }

    /// An event of the batch; `made_known` gathers the business keys that are
    /// remembered with it.
    fn mark_event(&mut self, raw_seq: u64, event: EventKeys, made_known: &mut Vec<EventKey>) -> Mark {
        let mark = self.see(raw_seq, event.event);
        let Some(business) = event.business else { return mark };
        let is_known = self.seen.contains_key(&business);
        // An event that comes again about something else is not counted, so it
        // must not stand in the way of the event that is about that.
        if is_known || mark == Mark::New {
            self.seen.insert(business, raw_seq);
            made_known.push(business);
        }
        if is_known && mark == Mark::New { Mark::Repeated } else { mark }
    }

    fn see(&mut self, raw_seq: u64, event: EventKey) -> Mark {
        match self.seen.insert(event, raw_seq) {
            Some(_) => Mark::Duplicate,
            None => Mark::New,
        }
    }

    /// Takes a batch in whose keys are seen.
    fn keep(&mut self, batch: RememberedBatch) {
        self.keys += batch.count();
        self.batches.push_back(batch);
        self.unsaved += 1;
        while self.keys > self.limits.keys && self.batches.len() > 1 {
            self.dropped += self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> u64 {
        let Some(batch) = self.batches.pop_front() else { return 0 };
        for key in batch.keys.iter().chain(&batch.business_keys) {
            // One that came again lives on with its later batch.
            if self.seen.get(key) == Some(&batch.raw_seq) {
                self.seen.remove(key);
            }
        }
        self.keys -= batch.count();
        batch.keys.len() as u64
    }

    /// The batches up to `floor` that are to be stored. One behind it was marked
    /// and did not get out: it will be marked again, by a memory without it.
    pub(crate) fn unsaved(&self, floor: u64) -> impl Iterator<Item = &RememberedBatch> {
        // A batch beyond the limit may be gone before it was stored.
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
            self.prune = Prune { below: self.batches.front().map_or(0, |batch| batch.raw_seq), at: Some(clock) };
            below
        })
        .filter(|below| *below > 0)
    }

    /// The marks of the batches behind `after` that are remembered.
    pub(crate) fn marks_after(&self, after: u64) -> impl Iterator<Item = (u64, Marks)> {
        let first = self.batches.partition_point(|batch| batch.raw_seq <= after);
        self.batches.range(first..).filter_map(|batch| Some((batch.raw_seq, batch.marks.clone()?)))
    }

    /// The last place in the log before a time of the log's clock, or before
    /// all that is remembered.
    pub(crate) fn last_before(&self, time: Timestamp) -> u64 {
        let after = self.batches.partition_point(|batch| batch.clock < time);
        match after.checked_sub(1).and_then(|last| self.batches.get(last)) {
            Some(last) => last.raw_seq,
            None => self.batches.front().map_or(0, |first| first.raw_seq - 1),
        }
    }

    /// Keys that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// How far back the memory reaches, in milliseconds of the log's clock.
    pub(crate) fn span_millis(&self) -> i64 {
        match (self.batches.front(), self.clock) {
            (Some(oldest), Some(clock)) => clock.millis() - oldest.clock.millis(),
            _ => 0,
        }
    }

    /// Events forgotten before their time since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
