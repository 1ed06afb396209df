//! What was late, and comes again as history.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A partition's orders, what the store has of them, and what aggregation counts.
struct World {
    memory: OrderMemory,
    seen: HashSet<EventKey>,
    stored: HashMap<OrderKey, RememberedOrder>,
    stored_changes: Vec<KeptChanges>,
    left_out: HashSet<EventKey>,
    counted: Sum,
    raw_seq: u64,
}

/// A copy of an event.
#[derive(Debug, Clone)]
struct Copy {
    number: u8,
    is_late: bool,
    is_history: bool,
}

fn key(number: u8) -> EventKey {
    EventKey::from_bytes([number; EventKey::BYTES])
}

impl World {
    fn new() -> Self {
        Self {
            memory: OrderMemory::restore(1_000_000, HashSet::new()),
            seen: HashSet::new(),
            stored: HashMap::new(),
            stored_changes: Vec::new(),
            left_out: HashSet::new(),
            counted: Sum::default(),
            raw_seq: 0,
        }
    }

    fn past(&self, events: &BTreeSet<EventKey>) -> PastEffects {
        let mut places: BTreeMap<EventKey, EffectPlace> = BTreeMap::new();
        for KeptChanges { raw_seq, events: did, .. } in &self.stored_changes {
            let raw_seq = *raw_seq;
            places.extend(did.iter().map(|(event, place)| (*event, EffectPlace { raw_seq, place: *place })));
        }
        places.retain(|event, _| events.contains(event));
        places.extend(self.memory.unsaved_effects(events, at(0)));
        let mut past = PastEffects::default();
        for (event, EffectPlace { raw_seq, place }) in places {
            let batches = self.stored_changes.iter().chain(self.memory.unsaved().1);
            let batch = batches.rev().find(|kept| kept.raw_seq == raw_seq).expect("is kept");
            past.add(event, batch.changes[&place].clone());
        }
        past
    }

    /// A batch, as enrichment settles it and aggregation counts it.
    fn batch(&mut self, all: &[OrderStatement], copies: &[Copy], is_saved: bool) {
        self.raw_seq += 1;
        let mut told = Vec::new();
        for (place, Copy { number, is_history, .. }) in copies.iter().enumerate() {
            let (event, statement) = (key(*number), &all[usize::from(*number)]);
            let told_as = match (self.seen.insert(event), is_history) {
                (true, true) if statement.kind != StatementKind::Placed => Told::Perhaps,
                (true, _) => Told::First,
                (false, true) => Told::Again,
                (false, false) => continue,
            };
            told.push(EventStatement { place, event, told: told_as, statement, context: context() });
        }
        let again = told.iter().filter(|told| told.told != Told::First).map(|told| told.event).collect();
        let kinds: HashMap<usize, Told> = told.iter().map(|told| (told.place, told.told)).collect();
        let settled = self.memory.settle(at(0), told, &self.stored, &self.past(&again));
        for (place, told) in kinds {
            let Copy { number, is_late, .. } = &copies[place];
            let change = &settled.changes[&place];
            let is_duplicate = told == Told::Again || change.is_again;
            if !is_duplicate && *is_late {
                self.left_out.insert(key(*number));
            } else if !is_duplicate || self.left_out.remove(&key(*number)) {
                self.counted.add(change);
            }
            // Made again from what is kept, the batch is the same.
            let alone = || change_alone(&all[usize::from(*number)], context());
            assert_eq!(settled.kept.get(&place).cloned().unwrap_or_else(alone), *change);
        }
        self.memory.commit(self.raw_seq, at(0), settled);
        if is_saved {
            let (orders, kept) = self.memory.unsaved();
            self.stored.extend(orders.clone());
            self.stored_changes.extend(kept.to_vec());
            self.memory.saved();
        }
    }
}

#[test]
fn a_late_refund_is_told_again_as_it_was() {
    let all = [placed(vec![line("a", "1", "20")]), refund("5"), statement(StatementKind::Refunded)];
    let copy = |number, is_late, is_history| Copy { number, is_late, is_history };
    for is_saved in [true, false] {
        let mut world = World::new();
        let net = |world: &World| world.counted.net();
        world.batch(&all, &[copy(0, false, false), copy(1, true, false)], is_saved);
        assert_eq!(net(&world), amount("20"));
        world.batch(&all, &[copy(1, true, false)], is_saved);
        assert_eq!(net(&world), amount("20"), "a repetition alone mends nothing");
        world.batch(&all, &[copy(2, false, false)], is_saved);
        assert_eq!(net(&world), amount("5"), "the order knows of both");
        for _ in 0..3 {
            world.batch(&all, &[copy(1, false, true), copy(1, false, true), copy(2, false, true)], is_saved);
            assert_eq!((net(&world), world.counted.line("a")[2].as_str()), (Amount::ZERO, "20.00"));
        }
        // The memory of duplicates is shorter than that of what was late.
        world.seen.clear();
        world.batch(&all, &[copy(1, false, true), copy(2, false, true)], is_saved);
        assert_eq!(net(&world), Amount::ZERO, "it is known by what it did");
    }
}

#[test]
fn many_lines_that_are_told_again_are_told_as_one() {
    let lines = (0..500).map(|n| line(&format!("p-{n}"), "1", "100")).collect();
    let mut order = Order::default();
    order.apply(&placed(lines), context());
    let mut past = PastEffects::default();
    for number in 0..20 {
        past.add(key(number), order.apply(&refund("25"), context()));
    }
    let told = |number| past.of(key(number)).expect("is there");
    assert_eq!((told(0).lines.len(), told(9).lines.len(), told(10).lines.len()), (500, 500, 1));
    assert_eq!(told(19).lines, [LineChange::unknown(amount("25"))]);
    let event = |place| EventStatement { event: key(3), told: Told::Again, ..super::told(place, &PART) };
    static PART: std::sync::LazyLock<OrderStatement> = std::sync::LazyLock::new(|| refund("25"));
    let memory = OrderMemory::restore(1000, HashSet::new());
    let settled = memory.settle(at(0), (0..100).map(event).collect(), &HashMap::new(), &past);
    let lines: usize = settled.changes.values().map(|change| change.lines.len()).sum();
    assert_eq!(lines, 10 * 500 + 90, "also where one event comes often");
}

proptest! {
    /// The plain model: everything is counted once in the end, so the sums are those
    /// of the statements in the order in which they first stood in the log.
    #[test]
    fn what_was_late_comes_to_the_same(
        order in orders(),
        others in what_refers_to_it(),
        place in 0usize..6,
        late in prop::collection::vec(any::<(bool, bool)>(), 7),
        again in prop::collection::vec(0u8..7, 0..12),
        sizes in prop::collection::vec((1usize..4, any::<bool>()), 30),
    ) {
        let mut all = others;
        all.insert(place.min(all.len()), order);
        let count = u8::try_from(all.len()).expect("few");
        let first = (0..count).map(|number| {
            let (is_late, is_history) = late[usize::from(number)];
            // History is never late here.
            Copy { number, is_late: is_late && !is_history, is_history }
        });
        let as_history = |number| Copy { number, is_late: false, is_history: true };
        let some = again.into_iter().filter(|number| *number < count).map(as_history);
        let (first, some): (Vec<_>, Vec<_>) = (first.collect(), some.collect());
        let mut world = World::new();
        let mut sizes = sizes.into_iter().cycle();
        for copies in [first, some, (0..count).map(as_history).collect()] {
            let mut copies = copies.as_slice();
            while let (Some((size, is_saved)), false) = (sizes.next(), copies.is_empty()) {
                let (batch, rest) = copies.split_at(size.min(copies.len()));
                world.batch(&all, batch, is_saved);
                copies = rest;
            }
        }
        prop_assert!(world.left_out.is_empty());
        prop_assert_eq!(&world.counted, &sum(&all));
    }
}
