use std::collections::BTreeMap;

use proptest::prelude::*;

use xxhash_rust::xxh3::xxh3_128;

use super::*;

/// An event: its id, and its order where it is about one.
type Sent = (u64, Option<u64>);

/// A log: the ingestion time of each batch, and its events.
type Log = Vec<(i64, Vec<Sent>)>;

use Mark::{Duplicate, New, Repeated};

fn key(n: u64) -> EventKey {
    EventKey::from_bytes(u128::from(n).to_be_bytes())
}

fn keys(events: &[Sent]) -> Vec<EventKeys> {
    let business = |order: u64| key(1 << 32 | order);
    events.iter().map(|(id, order)| EventKeys { event: key(*id), business: order.map(business) }).collect()
}

/// Marks as a list.
fn mark_orders(memory: &mut Duplicates, raw_seq: u64, now: i64, events: &[Sent]) -> Vec<Mark> {
    let marks = memory.mark(raw_seq, at(now), &keys(events));
    (0..events.len()).map(|index| marks.get(index)).collect()
}

/// The same of events that are about no order.
fn mark(memory: &mut Duplicates, raw_seq: u64, now: i64, ids: &[u64]) -> Vec<bool> {
    let events: Vec<Sent> = ids.iter().map(|id| (*id, None)).collect();
    mark_orders(memory, raw_seq, now, &events).into_iter().map(|mark| mark != New).collect()
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
fn the_texts_of_a_business_key_do_not_run_together() {
    let key = |kind: &str, texts: &[&str]| {
        let texts: Vec<_> = texts.iter().map(|text| (*text).into()).collect();
        EventKey::of_business(kind, &texts, &mut Vec::new())
    };
    let different = [
        key("order.placed", &["1"]),
        key("order.paid", &["1"]),
        key("order.placed", &["1", ""]),
        key("order.placed", &["", "1"]),
        key("order.placed", &["a\0b"]),
        key("order.placed", &["a", "b"]),
        EventKey::of("order.placed", "1", &mut Vec::new()),
    ];
    for (index, one) in different.iter().enumerate() {
        assert!(!different[..index].contains(one), "{index}");
    }
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
fn an_order_is_new_once_whatever_its_event_is_called() {
    let mut memory = Duplicates::restore(MemoryLimits { horizon_millis: 1000, keys: 100 }, []);
    let order = Some(7);
    assert_eq!(mark_orders(&mut memory, 1, 0, &[(1, order), (2, order), (1, order)]), [New, Repeated, Duplicate]);
    assert_eq!(mark_orders(&mut memory, 2, 900, &[(2, order), (3, Some(8))]), [Duplicate, New]);
    // The first event is forgotten; its order came again since.
    assert_eq!(mark_orders(&mut memory, 3, 1500, &[(1, order)]), [Repeated]);
    assert_eq!(mark_orders(&mut memory, 4, 2501, &[(4, order), (3, None)]), [New, New]);
}

#[test]
fn an_event_that_is_not_counted_does_not_hide_another_order() {
    let mut memory = Duplicates::restore(MemoryLimits { horizon_millis: 1000, keys: 100 }, []);
    assert_eq!(mark_orders(&mut memory, 1, 0, &[(1, Some(7)), (1, Some(8)), (2, Some(8))]), [New, Duplicate, New]);
    assert_eq!(
        mark_orders(&mut memory, 2, 1, &[(1, None), (3, Some(7)), (2, Some(9))]),
        [Duplicate, Repeated, Duplicate]
    );
    assert_eq!(mark_orders(&mut memory, 3, 2, &[(4, Some(9))]), [New]);
}

#[test]
fn the_limit_shortens_the_horizon_and_says_so() {
    let mut memory = Duplicates::restore(MemoryLimits { horizon_millis: 1000, keys: 3 }, []);
    mark_orders(&mut memory, 1, 0, &[(1, None), (2, None)]);
    mark_orders(&mut memory, 2, 1, &[(3, None)]);
    assert_eq!((memory.take_dropped(), memory.span_millis()), (0, 1));
    mark_orders(&mut memory, 3, 2, &[(4, None)]);
    assert_eq!((memory.take_dropped(), memory.span_millis(), memory.len()), (2, 1, 2));
    assert_eq!(mark(&mut memory, 4, 3, &[1, 3]), [false, true]);
    // A business key is a key too.
    mark_orders(&mut memory, 5, 4, &[(5, Some(1))]);
    assert_eq!((memory.take_dropped(), memory.len()), (4, 2));
}

/// The definition, word for word: each event's mark, and whether its order is
/// one that was counted.
fn reference(limits: MemoryLimits, log: &Log) -> Vec<Vec<Mark>> {
    let mut clock = i64::MIN;
    let mut earlier: Vec<(i64, u64)> = Vec::new();
    let mut orders: Vec<(i64, u64)> = Vec::new();
    let mut marks = Vec::new();
    for (ingested_at, events) in log {
        clock = clock.max(*ingested_at);
        let is_in = |seen: &[(i64, u64)], wanted: u64| {
            seen.iter().any(|(t, other)| *other == wanted && clock - t <= limits.horizon_millis)
        };
        let mut of_batch = Vec::new();
        for (id, order) in events {
            let is_same = is_in(&earlier, *id);
            let is_known = order.is_some_and(|order| is_in(&orders, order));
            earlier.push((clock, *id));
            if let Some(order) = order.filter(|_| is_known || !is_same) {
                orders.push((clock, order));
            }
            of_batch.push(match (is_same, is_known) {
                (true, _) => Duplicate,
                (false, true) => Repeated,
                (false, false) => New,
            });
        }
        marks.push(of_batch);
    }
    marks
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
        self.batches.extend(memory.unsaved(u64::MAX).map(|batch| (batch.raw_seq, as_stored(batch))));
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

/// A batch that went through its bytes.
fn as_stored(batch: &RememberedBatch) -> RememberedBatch {
    let marks = batch.marks.as_ref();
    let marks = marks
        .map(|marks| Marks::from_bytes(marks.duplicate_bytes().to_vec(), marks.repeated_bytes().map(<[u8]>::to_vec)));
    RememberedBatch { marks, ..batch.clone() }
}

/// How far the work on a chunk of batches came before the process died.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reached {
    Published,
    Persisted,
    Acknowledged,
}

fn logs() -> impl Strategy<Value = Log> {
    let event = (0u64..12, prop::option::of(0u64..8));
    // Steps in time go back too: ingestion's clocks differ.
    prop::collection::vec((-20_000i64..60_000, prop::collection::vec(event, 0..6)), 1..60).prop_map(|steps| {
        let mut now = 0;
        steps
            .into_iter()
            .map(|(step, events)| {
                now += step;
                (now, events)
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
            for (raw_seq, (ingested_at, events)) in (1..).zip(&log).take(end).skip(acknowledged) {
                if raw_seq <= stored.floor {
                    continue;
                }
                let marks = mark_orders(&mut memory, raw_seq, *ingested_at, events);
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
            for (raw_seq, marks) in memory.marks_after(0) {
                let kept: Vec<Mark> = (0..published[&raw_seq].len()).map(|index| marks.get(index)).collect();
                prop_assert_eq!(&kept, &published[&raw_seq], "a batch can be made again as it was");
            }
        }
        prop_assert_eq!(published.into_values().collect::<Vec<_>>(), reference(limits, &log));
    }

    #[test]
    fn a_limited_memory_can_be_made_again_at_any_point(log in logs(), limit in 1usize..30) {
        let limits = MemoryLimits { horizon_millis: 100_000, keys: limit };
        let mut running = Duplicates::restore(limits, []);
        let mut stored = Stored::default();
        for (raw_seq, (ingested_at, events)) in (1..).zip(&log) {
            running.mark(raw_seq, at(*ingested_at), &keys(events));
            stored.persist(&mut running, raw_seq);
            let again = stored.restore(limits);
            prop_assert_eq!(&again.batches, &running.batches);
            prop_assert_eq!(&again.seen, &running.seen);
            prop_assert!(running.keys <= limit || running.batches.len() == 1);
        }
    }

    /// Batches of a release that knew neither marks nor business keys.
    #[test]
    fn marks_that_were_not_kept_are_worked_out(log in logs()) {
        let limits = MemoryLimits { horizon_millis: 100_000, keys: 1000 };
        let mut running = Duplicates::restore(limits, []);
        let mut kept = Vec::new();
        for (raw_seq, (ingested_at, events)) in (1..).zip(&log) {
            let events: Vec<Sent> = events.iter().map(|(id, _)| (*id, None)).collect();
            running.mark(raw_seq, at(*ingested_at), &keys(&events));
            kept.push(RememberedBatch { marks: None, ..running.batches.back().expect("is there").clone() });
        }
        let again = Duplicates::restore(limits, kept);
        prop_assert_eq!(&again.batches, &running.batches);
        prop_assert_eq!(&again.seen, &running.seen);
    }
}
