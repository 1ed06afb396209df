use std::collections::BTreeMap;

use proptest::prelude::*;

use xxhash_rust::xxh3::xxh3_128;

use super::*;

fn key(n: u64) -> EventKey {
    EventKey::from_bytes(u128::from(n).to_be_bytes())
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
    let key = EventKey::of("ab", "c", &mut scratch);
    assert_ne!(key, EventKey::of("a", "bc", &mut scratch));
    assert_eq!(EventKey::from_bytes(key.to_bytes()), key);
    assert_eq!(u128::from_be_bytes(key.to_bytes()), xxh3_128(b"ab\0c"));
}

#[test]
fn the_horizon_ends_after_its_last_millisecond() {
    let mut memory = Duplicates::restore(MemoryLimits { horizon_millis: 1000, keys: 100 }, []);
    assert_eq!(mark(&mut memory, 1, 0, &[1, 2, 1]), [false, false, true]);
    assert_eq!(mark(&mut memory, 2, 1000, &[1]), [true]);
    assert_eq!(mark(&mut memory, 3, 1001, &[2]), [false]);
    assert_eq!(mark(&mut memory, 4, 2000, &[1]), [true], "a duplicate is an occurrence too");
    assert_eq!(mark(&mut memory, 5, 50, &[1]), [true], "the log's clock does not go back");
}

#[test]
fn the_limit_shortens_the_horizon_and_says_so() {
    let mut memory = Duplicates::restore(MemoryLimits { horizon_millis: 1000, keys: 3 }, []);
    memory.mark(1, at(0), vec![key(1), key(2)]);
    memory.mark(2, at(1), vec![key(3)]);
    assert_eq!((memory.take_dropped(), memory.span_millis()), (0, 1));
    memory.mark(3, at(2), vec![key(4)]);
    assert_eq!((memory.take_dropped(), memory.span_millis(), memory.len()), (2, 1, 2));
    assert_eq!(mark(&mut memory, 4, 3, &[1, 3]), [false, true]);
}

/// The definition, word for word.
fn reference(limits: MemoryLimits, log: &[(i64, Vec<u64>)]) -> Vec<Vec<bool>> {
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
    batches: BTreeMap<u64, RememberedBatch>,
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

    fn restore(&self, limits: MemoryLimits) -> Duplicates {
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
        let limits = MemoryLimits { horizon_millis: 100_000, keys: 1000 };
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
        let limits = MemoryLimits { horizon_millis: 100_000, keys };
        let whole: Vec<RememberedBatch> = log.iter().enumerate().map(|(index, (ingested_at, ids))| RememberedBatch {
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
