//! What counts as a duplicate, and the memory that decides it.
//!
//! A duplicate is the same `source` and `id` earlier in the same partition of
//! the log, within the horizon. Time is the log's clock: the latest ingestion
//! time of the batches up to here. So the marks are a function of the log
//! alone, and the memory after a batch can be made again from the batches
//! behind it, however often a process starts.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use tidemill_domain::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

/// How often, by the log's clock, stored batches that nobody needs any more
/// are deleted. Until then they allow a memory of a little while ago to be
/// made again exactly, should the output have lost its last batches.
const PRUNE_EVERY_MILLIS: i64 = 60_000;

/// An event's name: the 128-bit XXH3 hash of its source, a NUL and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    high: u64,
    low: u64,
}

impl Key {
    pub(crate) const BYTES: usize = 16;

    /// `scratch` is overwritten; it saves an allocation per event.
    pub(crate) fn of(source: &str, id: &str, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(source.as_bytes());
        // Neither holds control characters, so no two pairs read alike.
        scratch.push(0);
        scratch.extend_from_slice(id.as_bytes());
        Self::from_bytes(xxh3_128(scratch).to_be_bytes())
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { high: (hash >> 64) as u64, low: hash as u64 }
    }
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// A key is a hash already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For how long, by the log's clock.
    pub(crate) horizon_millis: i64,
    /// How many events at most.
    pub(crate) keys: usize,
}

/// A batch as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) raw_seq: u64,
    /// The log's clock at the batch.
    pub(crate) clock: Timestamp,
    /// Its events.
    pub(crate) keys: Vec<Key>,
    /// Which of them are duplicates; `None` for a batch of a release that did
    /// not keep them.
    pub(crate) marks: Option<Marks>,
}

/// A yes or no for each event of a batch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks(Vec<u8>);

impl Marks {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }
}

impl FromIterator<bool> for Marks {
    fn from_iter<I: IntoIterator<Item = bool>>(marks: I) -> Self {
        let mut bytes = Vec::new();
        for (index, mark) in marks.into_iter().enumerate() {
            if index % 8 == 0 {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= u8::from(mark) << (index % 8);
            }
        }
        Self(bytes)
    }
}

/// The events of one partition within the horizon.
///
/// Takes some 60 bytes per event: an entry of 25 bytes in a table that is
/// half to all full, and the key once more in its batch.
pub(crate) struct Duplicates {
    limits: Limits,
    /// The last batch that had each event.
    seen: HashMap<Key, u64, BuildHasherDefault<Hashed>>,
    batches: VecDeque<Batch>,
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
    pub(crate) fn restore(limits: Limits, batches: impl IntoIterator<Item = Batch>) -> Self {
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
        for Batch { raw_seq, clock, keys, marks } in batches {
            let worked_out = memory.mark(raw_seq, clock, keys);
            if let Some(batch) = memory.batches.back_mut() {
                // What decided it may be forgotten by now.
                batch.marks = Some(marks.unwrap_or(worked_out));
            }
        }
        memory.unsaved = 0;
        memory.dropped = 0;
        memory
    }

    /// Takes in the next batch, and tells which of its events are duplicates.
    pub(crate) fn mark(&mut self, raw_seq: u64, ingested_at: Timestamp, keys: Vec<Key>) -> Marks {
        let clock = self.clock.map_or(ingested_at, |clock| clock.max(ingested_at));
        self.clock = Some(clock);
        let oldest = clock.plus_millis(-self.limits.horizon_millis);
        while self.batches.front().is_some_and(|batch| batch.clock < oldest) {
            self.forget_oldest();
        }
        let marks: Marks = keys.iter().map(|key| self.seen.insert(*key, raw_seq).is_some()).collect();
        self.keys += keys.len();
        self.batches.push_back(Batch { raw_seq, clock, keys, marks: Some(marks.clone()) });
        self.unsaved += 1;
        while self.keys > self.limits.keys && self.batches.len() > 1 {
            self.dropped += self.forget_oldest();
        }
        marks
    }

    fn forget_oldest(&mut self) -> u64 {
        let Some(batch) = self.batches.pop_front() else { return 0 };
        for key in &batch.keys {
            // One that came again lives on with its later batch.
            if self.seen.get(key) == Some(&batch.raw_seq) {
                self.seen.remove(key);
            }
        }
        self.keys -= batch.keys.len();
        batch.keys.len() as u64
    }

    /// The batches up to `floor` that are to be stored. One behind it was marked
    /// and did not get out: it will be marked again, by a memory without it.
    pub(crate) fn unsaved(&self, floor: u64) -> impl Iterator<Item = &Batch> {
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

    /// Events that are remembered.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u64) -> Key {
        Key::from_bytes(u128::from(n).to_be_bytes())
    }

    /// Marks as a list.
    fn mark(memory: &mut Duplicates, raw_seq: u64, now: i64, ids: &[u64]) -> Vec<bool> {
        let marks = memory.mark(raw_seq, at(now), ids.iter().copied().map(key).collect());
        (0..ids.len()).map(|index| marks.get(index)).collect()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    #[test]
    fn source_and_id_do_not_run_together() {
        let mut scratch = Vec::new();
        let key = Key::of("ab", "c", &mut scratch);
        assert_ne!(key, Key::of("a", "bc", &mut scratch));
        assert_eq!(Key::from_bytes(key.to_bytes()), key);
        assert_eq!(u128::from_be_bytes(key.to_bytes()), xxh3_128(b"ab\0c"));
    }

    #[test]
    fn the_horizon_ends_after_its_last_millisecond() {
        let mut memory = Duplicates::restore(Limits { horizon_millis: 1000, keys: 100 }, []);
        assert_eq!(mark(&mut memory, 1, 0, &[1, 2, 1]), [false, false, true]);
        assert_eq!(mark(&mut memory, 2, 1000, &[1]), [true]);
        assert_eq!(mark(&mut memory, 3, 1001, &[2]), [false]);
        assert_eq!(mark(&mut memory, 4, 2000, &[1]), [true], "a duplicate is an occurrence too");
        assert_eq!(mark(&mut memory, 5, 50, &[1]), [true], "the log's clock does not go back");
    }

    #[test]
    fn the_limit_shortens_the_horizon_and_says_so() {
        let mut memory = Duplicates::restore(Limits { horizon_millis: 1000, keys: 3 }, []);
        memory.mark(1, at(0), vec![key(1), key(2)]);
        memory.mark(2, at(1), vec![key(3)]);
        assert_eq!((memory.take_dropped(), memory.span_millis()), (0, 1));
        memory.mark(3, at(2), vec![key(4)]);
        assert_eq!((memory.take_dropped(), memory.span_millis(), memory.len()), (2, 1, 2));
        assert_eq!(mark(&mut memory, 4, 3, &[1, 3]), [false, true]);
    }

    /// The definition, word for word.
    fn reference(limits: Limits, log: &[(i64, Vec<u64>)]) -> Vec<Vec<bool>> {
        let mut clock = i64::MIN;
        let mut earlier: Vec<(i64, u64)> = Vec::new();
        log.iter()
            .map(|(ingested_at, ids)| {
                clock = clock.max(*ingested_at);
                ids.iter()
                    .map(|id| {
                        let seen = earlier.iter().any(|(t, other)| other == id && clock - t <= limits.horizon_millis);
                        earlier.push((clock, *id));
                        seen
                    })
                    .collect()
            })
            .collect()
    }

    /// A store as the service uses it: the batches and the floor change
    /// together, or not at all.
    #[derive(Default)]
    struct Stored {
        floor: u64,
        batches: BTreeMap<u64, Batch>,
    }

    impl Stored {
        fn persist(&mut self, memory: &mut Duplicates, floor: u64) {
            self.batches.extend(memory.unsaved(u64::MAX).map(|batch| (batch.raw_seq, batch.clone())));
            if let Some(below) = memory.prunable() {
                self.batches.retain(|raw_seq, _| *raw_seq >= below);
            }
            memory.saved();
            self.floor = floor;
        }

        fn restore(&self, limits: Limits) -> Duplicates {
            Duplicates::restore(limits, self.batches.values().cloned())
        }
    }

    /// How far the work on a chunk of batches came before the process died.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Reached {
        Published,
        Persisted,
        Acknowledged,
    }

    fn logs() -> impl Strategy<Value = Vec<(i64, Vec<u64>)>> {
        // Steps in time go back too: ingestion's clocks differ.
        prop::collection::vec((-20_000i64..60_000, prop::collection::vec(0u64..12, 0..6)), 1..60).prop_map(|steps| {
            let mut now = 0;
            steps
                .into_iter()
                .map(|(step, ids)| {
                    now += step;
                    (now, ids)
                })
                .collect()
        })
    }

    fn crashes() -> impl Strategy<Value = Vec<(usize, Reached)>> {
        let reached = prop_oneof![Just(Reached::Published), Just(Reached::Persisted), Just(Reached::Acknowledged)];
        prop::collection::vec((1usize..8, reached), 1..120)
    }

    proptest! {
        #[test]
        fn marks_are_the_same_wherever_a_process_dies(log in logs(), crashes in crashes()) {
            let limits = Limits { horizon_millis: 100_000, keys: 1000 };
            let mut stored = Stored::default();
            let mut published = BTreeMap::new();
            let mut acknowledged = 0;
            let mut plan = crashes.into_iter().chain(std::iter::repeat((3, Reached::Acknowledged)));
            let mut memory = stored.restore(limits);
            while acknowledged < log.len() {
                let (chunk, reached) = plan.next().expect("endless");
                let end = (acknowledged + chunk).min(log.len());
                for (raw_seq, (ingested_at, ids)) in (1..).zip(&log).take(end).skip(acknowledged) {
                    if raw_seq <= stored.floor {
                        continue;
                    }
                    let marks = mark(&mut memory, raw_seq, *ingested_at, ids);
                    let before = published.insert(raw_seq, marks.clone());
                    prop_assert!(before.is_none_or(|before| before == marks), "published again as it was");
                }
                if reached != Reached::Published {
                    stored.persist(&mut memory, stored.floor.max(end as u64));
                }
                if reached == Reached::Acknowledged {
                    acknowledged = end;
                } else {
                    memory = stored.restore(limits);
                }
            }
            prop_assert_eq!(published.into_values().collect::<Vec<_>>(), reference(limits, &log));
        }

        #[test]
        fn a_limited_memory_can_be_made_again_at_any_point(log in logs(), keys in 1usize..30) {
            let limits = Limits { horizon_millis: 100_000, keys };
            let whole: Vec<Batch> = log.iter().enumerate().map(|(index, (ingested_at, ids))| Batch {
                raw_seq: index as u64 + 1, clock: at(*ingested_at), keys: ids.iter().copied().map(key).collect(),
                marks: None,
            }).collect();
            let mut running = Duplicates::restore(limits, []);
            let mut stored = Stored::default();
            for batch in whole {
                running.mark(batch.raw_seq, batch.clock, batch.keys);
                stored.persist(&mut running, batch.raw_seq);
                let again = stored.restore(limits);
                prop_assert_eq!(&again.batches, &running.batches);
                prop_assert_eq!(&again.seen, &running.seen);
                prop_assert!(running.keys <= keys || running.batches.len() == 1);
            }
        }
    }
}
