use std::collections::BTreeMap;

use proptest::prelude::*;

use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::duplicates::{
    Block, BlockName, FilterWidth, KeyBlock, KeyFilter, Run, RunEntries, SealedRun, SegmentBlock, segment::earlier,
};

/// An event: its id, and its order where it is about one.
type Sent = (u64, Option<u64>);

/// A log: the ingestion time of each batch, and its events.
type Log = Vec<(i64, Vec<Sent>)>;

use Mark::{Duplicate, New, Repeated};

fn key(n: u64) -> EventKey {
    EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes())
}

/// Limits that nothing reaches.
const WIDE: MemoryLimits =
    MemoryLimits { horizon_millis: 1000, tick_millis: 1, keys: 100, sealed_keys: 1_000_000, run_keys: 1_000_000 };

fn keys(events: &[Sent]) -> Vec<EventKeys> {
    let business = |order: u64| key(1 << 32 | order);
    events.iter().map(|(id, order)| EventKeys { event: key(*id), business: order.map(business) }).collect()
}

/// Marks as a list.
fn mark_orders(memory: &mut Duplicates, stored: &Stored, raw_seq: u64, now: i64, events: &[Sent]) -> Vec<Mark> {
    let keys = keys(events);
    let older = stored.sightings(&memory.doubts(&keys));
    let marks = memory.mark(raw_seq, at(now), &keys, &older);
    (0..events.len()).map(|index| marks.get(index)).collect()
}

/// The same where nothing is sealed.
fn mark_fresh(memory: &mut Duplicates, raw_seq: u64, now: i64, events: &[Sent]) -> Vec<Mark> {
    mark_orders(memory, &Stored::default(), raw_seq, now, events)
}

/// The same of events that are about no order.
fn mark(memory: &mut Duplicates, raw_seq: u64, now: i64, ids: &[u64]) -> Vec<bool> {
    let events: Vec<Sent> = ids.iter().map(|id| (*id, None)).collect();
    mark_fresh(memory, raw_seq, now, &events).into_iter().map(|mark| mark != New).collect()
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
    let mut memory = Duplicates::restore(WIDE, SealedKeys::default(), []);
    assert_eq!(mark(&mut memory, 1, 0, &[1, 2, 1]), [false, false, true]);
    assert_eq!(mark(&mut memory, 2, 1000, &[1]), [true]);
    assert_eq!(mark(&mut memory, 3, 1001, &[2]), [false]);
    assert_eq!(mark(&mut memory, 4, 2000, &[1]), [true], "a duplicate is an occurrence too");
    assert_eq!(mark(&mut memory, 5, 50, &[1]), [true], "the log's clock does not go back");
}

#[test]
fn an_order_is_new_once_whatever_its_event_is_called() {
    let mut memory = Duplicates::restore(WIDE, SealedKeys::default(), []);
    let order = Some(7);
    assert_eq!(mark_fresh(&mut memory, 1, 0, &[(1, order), (2, order), (1, order)]), [New, Repeated, Duplicate]);
    assert_eq!(mark_fresh(&mut memory, 2, 900, &[(2, order), (3, Some(8))]), [Duplicate, New]);
    // The first event is forgotten; its order came again since.
    assert_eq!(mark_fresh(&mut memory, 3, 1500, &[(1, order)]), [Repeated]);
    assert_eq!(mark_fresh(&mut memory, 4, 2501, &[(4, order), (3, None)]), [New, New]);
}

#[test]
fn an_event_that_is_not_counted_does_not_hide_another_order() {
    let mut memory = Duplicates::restore(WIDE, SealedKeys::default(), []);
    assert_eq!(mark_fresh(&mut memory, 1, 0, &[(1, Some(7)), (1, Some(8)), (2, Some(8))]), [New, Duplicate, New]);
    assert_eq!(
        mark_fresh(&mut memory, 2, 1, &[(1, None), (3, Some(7)), (2, Some(9))]),
        [Duplicate, Repeated, Duplicate]
    );
    assert_eq!(mark_fresh(&mut memory, 3, 2, &[(4, Some(9))]), [New]);
}

#[test]
fn what_is_too_much_for_the_table_is_sealed() {
    let limits = MemoryLimits { keys: 4, ..WIDE };
    let (mut memory, mut stored) = (Duplicates::restore(limits, SealedKeys::default(), []), Stored::default());
    for (raw_seq, ids) in [(1, [1, 2]), (2, [3, 4]), (3, [5, 6])] {
        assert_eq!(mark(&mut memory, raw_seq, 10 * raw_seq.cast_signed(), &ids), [false, false]);
        stored.persist(&mut memory, raw_seq);
    }
    // The last of them was stored just then, and those before it are enough.
    let size = memory.size();
    assert_eq!((size.keys, size.sealed_keys, size.span_millis), (2, 4, 20));
    assert_eq!(stored.runs.values().map(|sealed| sealed.run.span.last).collect::<Vec<_>>(), [2]);
    assert!(stored.batches.range(..3).all(|(_, batch)| batch.keys.is_empty() && batch.marks.is_some()));
    let events = [(1, None), (3, None), (6, None), (7, None)];
    assert_eq!(mark_orders(&mut memory, &stored, 4, 1000, &events), [Duplicate, Duplicate, Duplicate, New]);
    // The first batch is beyond the horizon, the second, in the same segment, is not.
    let mut memory = stored.restore(limits);
    let events = [(1, None), (3, None), (5, None)];
    assert_eq!(mark_orders(&mut memory, &stored, 4, 1015, &events), [New, Duplicate, Duplicate]);
    let mut memory = stored.restore(limits);
    assert_eq!(mark_orders(&mut memory, &stored, 4, 1021, &events), [New, New, Duplicate]);
    assert_eq!(memory.size().sealed_keys, 0);
}

#[test]
fn the_limit_of_what_is_sealed_shortens_the_horizon_and_says_so() {
    let limits = MemoryLimits { keys: 2, sealed_keys: 4, ..WIDE };
    let (mut memory, mut stored) = (Duplicates::restore(limits, SealedKeys::default(), []), Stored::default());
    for raw_seq in 1..=5 {
        mark(&mut memory, raw_seq, raw_seq.cast_signed(), &[2 * raw_seq, 2 * raw_seq + 1]);
        stored.persist(&mut memory, raw_seq);
    }
    assert_eq!((memory.take_dropped(), memory.size().sealed_keys, memory.size().keys), (4, 4, 2));
    let mut again = stored.restore(limits);
    assert_eq!(again.size(), memory.size());
    for memory in [&mut memory, &mut again] {
        let events = [(2, None), (5, None), (6, None), (10, None)];
        assert_eq!(mark_orders(memory, &stored, 6, 6, &events), [New, New, Duplicate, Duplicate]);
    }
}

#[test]
fn a_run_beyond_the_horizon_does_not_come_back_with_a_new_process() {
    // All that is stored is sealed, and runs of one key are merged as soon as there are three.
    let limits = MemoryLimits { keys: 0, run_keys: 3, ..WIDE };
    let (mut memory, mut stored) = (Duplicates::restore(limits, SealedKeys::default(), []), Stored::default());
    for (raw_seq, now, ids) in [(1, 0, &[1][..]), (2, 1001, &[7, 2]), (3, 1100, &[7, 3]), (4, 1200, &[7, 4])] {
        let events: Vec<Sent> = ids.iter().map(|id| (*id, None)).collect();
        mark_orders(&mut memory, &stored, raw_seq, now, &events);
        // Stored, then sealed. What was sealed before is divided among the ranges.
        (0..2).for_each(|_| stored.persist(&mut memory, raw_seq));
    }
    assert!(stored.runs.values().any(|sealed| sealed.run.span.last == 1), "forgotten, and not yet deleted");
    let mut again = stored.restore(limits);
    assert_eq!(again.size(), memory.size());
    // With the first run, what is sealed of the last batch would be taken for the oldest of
    // its range, and be forgotten with the third batch.
    (0..2).for_each(|_| stored.persist(&mut again, 4));
    assert_eq!(mark_orders(&mut again, &stored, 5, 2150, &[]), []);
    assert_eq!(mark_orders(&mut again, &stored, 6, 2150, &[(7, None), (3, None)]), [Duplicate, New]);
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
            let tick = i64::from(limits.tick_millis);
            let oldest = (clock - limits.horizon_millis).div_euclid(tick) * tick;
            seen.iter().any(|(t, other)| *other == wanted && *t >= oldest)
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

/// A store as the service uses it: batches, runs and the floor change together, or
/// not at all.
#[derive(Default, Clone)]
struct Stored {
    floor: u64,
    batches: BTreeMap<u64, RememberedBatch>,
    runs: BTreeMap<u64, SealedRun>,
    next_block: u64,
    /// Of a release before this one.
    segments: BTreeMap<u64, (Arc<Segment>, Vec<SegmentBlock>)>,
}

impl Stored {
    fn persist(&mut self, memory: &mut Duplicates, floor: u64) {
        let change = self.change(memory);
        self.keep_batches(memory, floor);
        for run in &change.removed {
            self.runs.remove(&run.blocks.first);
        }
        for sealed in &change.added {
            let before = self.runs.insert(sealed.run.blocks.first, sealed.clone());
            assert!(before.is_none() && sealed.run.blocks.first >= self.next_block, "no number twice");
        }
        self.next_block = change.next_block;
        if let Some(span) = change.sealed {
            self.forget_keys(span);
        }
        memory.changed(change);
    }

    fn change(&self, memory: &Duplicates) -> RunChange {
        let mut change =
            RunChange { removed: memory.forgotten().to_vec(), next_block: memory.next_block(), ..RunChange::default() };
        let tick = memory.tick_millis();
        if let Some(keys) = memory.sealable() {
            change.sealed = Some(keys.span);
            let sealed = RunEntries::of(keys.span, &keys.keys).sealed(tick, change.next_block).expect("is sealed");
            change.next_block = sealed.run.blocks.end();
            change.added.push(sealed);
        }
        for merge in memory.mergeable() {
            let mut entries = merge.entries();
            for run in &merge.inputs {
                self.runs[&run.blocks.first].blocks.iter().for_each(|block| entries.extend(&as_read(block)));
            }
            // `None` where all of it is forgotten.
            if let Some(merged) = merge.into.merged(entries, tick, change.next_block) {
                change.next_block = merged.last().expect("has keys").run.blocks.end();
                change.added.extend(merged);
                change.removed.extend(merge.inputs);
            }
        }
        change
    }

    /// As the release before this one did, which sealed segments. Its process ends then.
    fn persist_earlier(&mut self, memory: &mut Duplicates, floor: u64) {
        let sealable = memory.sealable();
        self.keep_batches(memory, floor);
        if let Some(SealableKeys { span, keys }) = sealable {
            let (segment, blocks) = earlier::seal(span, keys);
            self.segments.insert(span.last, (Arc::new(segment), blocks));
            self.forget_keys(span);
        }
    }

    fn keep_batches(&mut self, memory: &mut Duplicates, floor: u64) {
        self.batches.extend(memory.unsaved(u64::MAX).map(|batch| (batch.raw_seq, as_stored(batch))));
        let below = memory.prunable();
        memory.saved();
        if let Some(below) = below {
            self.batches.retain(|raw_seq, _| *raw_seq >= below);
            self.segments.retain(|last, _| *last >= below);
            self.runs.retain(|_, sealed| sealed.run.span.last >= below);
        }
        self.floor = floor;
    }

    fn forget_keys(&mut self, span: BatchSpan) {
        for (_, batch) in self.batches.range_mut(span.first..=span.last) {
            (batch.keys, batch.business_keys) = (Vec::new(), Vec::new());
        }
    }

    fn restore(&self, limits: MemoryLimits) -> Duplicates {
        let again = |filter: &KeyFilter, width| KeyFilter::from_bytes(&filter.to_bytes(), width).expect("a filter");
        let segments = self.segments.values().map(|(segment, _)| {
            let Segment { span, keys, blocks, ref filter } = **segment;
            Segment { span, keys, blocks, filter: again(filter, FilterWidth::Wide) }
        });
        let runs = self.runs.values().map(|sealed| {
            let Run { span, lane, keys, ref blocks, ref filter } = *sealed.run;
            Run { span, lane, keys, blocks: blocks.clone(), filter: again(filter, FilterWidth::of(lane)) }
        });
        let sealed = SealedKeys { segments: segments.collect(), runs: runs.collect(), next_block: self.next_block };
        let last = sealed.last();
        Duplicates::restore(limits, sealed, self.batches.range(last + 1..).map(|(_, batch)| batch.clone()))
    }

    fn sightings(&self, doubts: &[Doubt]) -> Sightings {
        let mut sightings = Sightings::default();
        for Doubt { key, block } in doubts {
            let block = match block {
                BlockName::Segment(segment, block) => Block::Segment(self.segments[segment].1[*block as usize].clone()),
                BlockName::Run(number) => {
                    let (first, sealed) = self.runs.range(..=number).next_back().expect("is there");
                    Block::Run(as_read(&sealed.blocks[(number - first) as usize]))
                }
            };
            sightings.add(*key, &block);
        }
        sightings
    }
}

fn as_read(block: &KeyBlock) -> KeyBlock {
    KeyBlock::from_bytes(block.as_bytes().to_vec()).expect("is a block")
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
    /// A backup of the store was taken as well.
    BackedUp,
    /// The store was lost, and the last backup was put in its place.
    StoreLost,
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
    let reached = prop_oneof![
        4 => Just(Reached::Published),
        4 => Just(Reached::Persisted),
        1 => Just(Reached::BackedUp),
        1 => Just(Reached::StoreLost),
        4 => Just(Reached::Acknowledged),
    ];
    prop::collection::vec((1usize..8, reached), 1..120)
}

proptest! {
    #[test]
    fn marks_are_the_same_wherever_a_process_dies(
        log in logs(),
        crashes in crashes(),
        table in 1usize..40,
        run_keys in 4u64..60,
        tick_millis in prop_oneof![Just(1u32), Just(7_000), Just(50_000)],
        earlier in prop_oneof![Just(0usize), 0usize..30],
    ) {
        let limits = MemoryLimits { horizon_millis: 100_000, tick_millis, keys: table, run_keys, ..WIDE };
        let (mut stored, mut backup) = (Stored::default(), Stored::default());
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
                let marks = mark_orders(&mut memory, &stored, raw_seq, *ingested_at, events);
                let before = published.insert(raw_seq, marks.clone());
                prop_assert!(before.is_none_or(|before| before == marks), "published again as it was");
            }
            let (floor, is_earlier) = (stored.floor.max(end as u64), end < earlier);
            match (reached, is_earlier) {
                (Reached::Published | Reached::StoreLost, _) => {}
                (_, true) => stored.persist_earlier(&mut memory, floor),
                (_, false) => stored.persist(&mut memory, floor),
            }
            match reached {
                Reached::BackedUp => backup = stored.clone(),
                Reached::StoreLost => {
                    stored = backup.clone();
                    acknowledged = stored.floor as usize;
                }
                Reached::Acknowledged => acknowledged = end,
                Reached::Published | Reached::Persisted => {}
            }
            if reached != Reached::Acknowledged || is_earlier {
                memory = stored.restore(limits);
            }
            for (raw_seq, batch) in &stored.batches {
                let marks = memory.marks_of(*raw_seq).or_else(|| batch.marks.clone()).expect("are kept");
                let kept: Vec<Mark> = (0..published[raw_seq].len()).map(|index| marks.get(index)).collect();
                prop_assert_eq!(&kept, &published[raw_seq], "a batch can be made again as it was");
            }
        }
        prop_assert_eq!(published.into_values().collect::<Vec<_>>(), reference(limits, &log));
    }

    #[test]
    fn a_limited_memory_can_be_made_again_at_any_point(log in logs(), limit in 1usize..30, run_keys in 4u64..60) {
        let limits = MemoryLimits { horizon_millis: 100_000, keys: limit, sealed_keys: 20, run_keys, ..WIDE };
        let mut running = Duplicates::restore(limits, SealedKeys::default(), []);
        let mut stored = Stored::default();
        for (raw_seq, (ingested_at, events)) in (1..).zip(&log) {
            mark_orders(&mut running, &stored, raw_seq, *ingested_at, events);
            stored.persist(&mut running, raw_seq);
            let again = stored.restore(limits);
            prop_assert_eq!(&again.batches, &running.batches);
            prop_assert_eq!(&again.seen, &running.seen);
            prop_assert_eq!(again.runs.names(), running.runs.names());
            // What is stored can be sealed: the last batch is the exception.
            let stored: usize = running.batches.iter().rev().skip(1).map(RememberedBatch::count).sum();
            prop_assert!(stored <= limit, "{} of {}", stored, limit);
        }
    }

    /// Batches of a release that knew neither marks nor business keys.
    #[test]
    fn marks_that_were_not_kept_are_worked_out(log in logs()) {
        let limits = MemoryLimits { horizon_millis: 100_000, keys: 1000, ..WIDE };
        let mut running = Duplicates::restore(limits, SealedKeys::default(), []);
        let mut kept = Vec::new();
        for (raw_seq, (ingested_at, events)) in (1..).zip(&log) {
            let events: Vec<Sent> = events.iter().map(|(id, _)| (*id, None)).collect();
            mark_fresh(&mut running, raw_seq, *ingested_at, &events);
            kept.push(RememberedBatch { marks: None, ..running.batches.back().expect("is there").clone() });
        }
        let again = Duplicates::restore(limits, SealedKeys::default(), kept);
        prop_assert_eq!(&again.batches, &running.batches);
        prop_assert_eq!(&again.seen, &running.seen);
    }
}
