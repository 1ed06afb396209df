//! The merge, against a full recomputation of a model of the log.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use tidemill_domain::{Amount, BaseAmount, Currency, Partition};

use super::*;
use crate::{Distinct, Measure, QuantileSketch};

const PARTITIONS: u16 = 3;

/// An event of the log, which counts in one cell, or in none.
#[derive(Debug, Clone, Copy)]
struct Row {
    partition: u16,
    cell: Option<u8>,
    value: i64,
}

type Key = (u8, Partition);

/// The totals of all events of a cell and partition up to a sequence; `None` without one.
fn computed(log: &[Row], cell: u8, partition: u16, raw_seq: u64) -> Option<Totals> {
    let upto = usize::try_from(raw_seq).expect("small");
    let rows = log[..upto].iter().filter(|row| row.partition == partition && row.cell == Some(cell));
    let mut sums: Option<Totals> = None;
    for row in rows {
        let totals = sums.get_or_insert_with(nothing);
        add(totals, row.value);
    }
    sums
}

fn nothing() -> Totals {
    Totals::of([
        Measure::Count(0),
        Measure::Sum(Amount::ZERO),
        Measure::Min(None),
        Measure::DistinctSketch(Distinct::default()),
        Measure::Quantile { per_mille: 500, sketch: QuantileSketch::default() },
        Measure::Average { sum: Amount::ZERO, count: 0 },
    ])
}

fn add(totals: &mut Totals, value: i64) {
    for total in &mut totals.0 {
        match &mut total.measure {
            Measure::Count(count) => *count += 1,
            Measure::DistinctSketch(set) => drop(set.insert(&(value % 5).to_string())),
            Measure::Average { .. } => {
                let read = Amount::read(&value.to_string()).expect("a number");
                let base = (value % 3 != 0).then_some(BaseAmount { base: Currency::EUR, converted: None });
                total.add_money(read, base);
            }
            measure => measure.add_amount(Amount::from_int(value)),
        }
    }
}

/// The cells that change in a partition behind one sequence and up to another.
fn changed(log: &[Row], partition: u16, after: u64, upto: u64) -> BTreeSet<u8> {
    let of = usize::try_from(after).expect("small")..usize::try_from(upto).expect("small");
    log[of].iter().filter(|row| row.partition == partition).filter_map(|row| row.cell).collect()
}

/// What a stream tells that makes checkpoints at these places, in order.
fn told(log: &[Row], partition: u16, checkpoints: &BTreeSet<u64>) -> Vec<(Key, (u64, Totals))> {
    let mut updates = Vec::new();
    let mut before = 0;
    for at in checkpoints {
        for cell in changed(log, partition, before, *at) {
            let totals = computed(log, cell, partition, *at).expect("it has changed");
            updates.push(((cell, Partition::new(partition)), (*at, totals)));
        }
        before = *at;
    }
    updates
}

/// What a batch view has that covers a partition up to there.
fn view(log: &[Row], partition: u16, upto: u64) -> Vec<(Key, (u64, Totals))> {
    let cells = changed(log, partition, 0, upto);
    let of = |cell| ((cell, Partition::new(partition)), (upto, computed(log, cell, partition, upto).expect("changed")));
    cells.into_iter().map(of).collect()
}

fn log() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..PARTITIONS, prop::option::of(0u8..4), -50i64..50);
    vec(row.prop_map(|(partition, cell, value)| Row { partition, cell, value }), 1..60)
}

fn places(of: &[prop::sample::Index], log: &[Row]) -> BTreeSet<u64> {
    of.iter().map(|place| place.index(log.len() + 1) as u64).collect()
}

fn shuffled<T>(mut all: Vec<T>, seed: u64) -> Vec<T> {
    let len = all.len().max(1);
    for i in 0..all.len() {
        let other = (seed as usize).wrapping_mul(31).wrapping_add(i * 17) % len;
        all.swap(i, other);
    }
    all
}

/// Which states of the stream a view's landing retires; the model has counted everything.
fn retired(speed: &[(Key, (u64, Totals))], batch: &[(Key, (u64, Totals))], reached: u64) -> BTreeSet<(Key, u64)> {
    let stream = StreamStanding { reached, is_whole: true };
    let mut gone = BTreeSet::new();
    for (key, (upto, totals)) in batch {
        let of_cell = || speed.iter().filter(|(known, _)| known == key);
        let Some((_, (raw_seq, known))) = of_cell().max_by_key(|(_, (raw_seq, _))| *raw_seq) else { continue };
        match BatchLanding::of(Some((*raw_seq, known)), (*upto, totals), stream) {
            BatchLanding::Covers => gone.extend(of_cell().map(|(key, (raw_seq, _))| (*key, *raw_seq))),
            BatchLanding::Ahead => assert!(reached < *upto),
            BatchLanding::Behind => assert!(raw_seq > upto),
            BatchLanding::Differs => panic!("both are computed from one log"),
        }
    }
    gone
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any part of the log in views of any age, any part in the stream, in any order and several times, with
    /// states retired that a view covers: the merge is the computation of all that either has seen.
    #[test]
    fn the_merge_is_a_full_recomputation(
        log in log(),
        checkpoints in vec(any::<prop::sample::Index>(), 0..6),
        views in vec(any::<prop::sample::Index>(), 0..4),
        seed in any::<u64>(),
    ) {
        let (checkpoints, views) = (places(&checkpoints, &log), places(&views, &log));
        let counted = checkpoints.last().copied().unwrap_or_default();
        let covered = views.last().copied().unwrap_or_default();
        for partition in 0..PARTITIONS {
            let mut speed = told(&log, partition, &checkpoints);
            let batch: Vec<_> = views.iter().flat_map(|upto| view(&log, partition, *upto)).collect();
            let gone = retired(&speed, &view(&log, partition, covered), counted);
            speed.retain(|(key, (raw_seq, _))| !gone.contains(&(*key, *raw_seq)));
            speed.extend(speed.clone());
            let merged = furthest(shuffled(speed, seed), shuffled(batch, seed));
            for cell in 0..4 {
                let is = merged.get(&(cell, Partition::new(partition))).map(|served| served.state.clone());
                prop_assert_eq!(is, computed(&log, cell, partition, counted.max(covered)));
            }
        }
    }

    #[test]
    fn a_state_that_was_changed_is_found(log in log(), cell in 0u8..4, more in 1i64..9) {
        let upto = log.len() as u64;
        let stream = StreamStanding { reached: upto, is_whole: true };
        let sums: BTreeMap<u16, Totals> =
            (0..PARTITIONS).filter_map(|p| Some((p, computed(&log, cell, p, upto)?))).collect();
        for totals in sums.values() {
            let land = |known: &Totals| BatchLanding::of(Some((upto, known)), (upto, totals), stream);
            prop_assert_eq!(land(totals), BatchLanding::Covers);
            let mut other = totals.clone();
            add(&mut other, more);
            prop_assert_eq!(land(&other), BatchLanding::Differs);
        }
    }
}

#[test]
fn what_has_not_counted_as_far_is_not_compared() {
    let (mut one, two) = (nothing(), nothing());
    add(&mut one, 1);
    let land = |known, reached, is_whole| BatchLanding::of(known, (7, &two), StreamStanding { reached, is_whole });
    assert_eq!(land(Some((5, &one)), 6, true), BatchLanding::Ahead, "the stream is behind");
    assert_eq!(land(Some((5, &one)), 7, false), BatchLanding::Ahead, "the stream has not counted all");
    assert_eq!(land(Some((8, &one)), 8, true), BatchLanding::Behind);
    assert_eq!(land(Some((5, &one)), 7, true), BatchLanding::Differs);
    assert_eq!(land(Some((5, &two)), 7, true), BatchLanding::Covers);
    assert_eq!(land(None, 7, true), BatchLanding::Differs, "the stream says that there is no such cell");
    assert_eq!(land(None, 6, true), BatchLanding::Ahead);
}

#[test]
fn amounts_in_the_base_currency_may_be_written_in_two_ways() {
    let of = |state: Option<Measure>| {
        let mut total = MeasureTotal::from(Measure::Sum(Amount::from_int(3)));
        total.converted = Some(crate::Converted { base: Currency::EUR, rows: 2, state });
        Totals(vec![total])
    };
    assert!(of(None).comes_to_the_same(&of(Some(Measure::Sum(Amount::from_int(3))))));
    assert!(!of(None).comes_to_the_same(&of(Some(Measure::Sum(Amount::from_int(4))))));
}
