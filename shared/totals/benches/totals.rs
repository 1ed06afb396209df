//! What it costs to add totals up, as reporting does over partitions and windows.

use divan::{Bencher, black_box, counter::ItemsCount};
use tidemill_domain::Amount;
use tidemill_totals::{Distinct, Measure, Totals};

const CELLS: usize = 1_000;

fn main() {
    // Once and without divan, for scripts/check-counts.
    if std::env::args().nth(1).as_deref() == Some("counted") {
        black_box(counted_merge(&cells()));
        return;
    }
    divan::main();
}

/// The totals of a cell: rows, two sums, keys, and customers in a sketch.
fn cell(n: usize) -> Totals {
    let mut customers = Distinct::default();
    for customer in 0..20 {
        customers.insert(&format!("c-{}", n * 7 + customer));
    }
    let amount = Amount::from_int(i64::try_from(n).unwrap_or_default());
    Totals::of([
        Measure::Count(20),
        Measure::Sum(amount),
        Measure::Sum(amount),
        Measure::DistinctKeyed(20),
        Measure::DistinctSketch(customers),
    ])
}

fn cells() -> Vec<Totals> {
    (0..CELLS).map(cell).collect()
}

#[inline(never)]
fn counted_merge(cells: &[Totals]) -> bool {
    let Some((first, others)) = cells.split_first() else { return false };
    let mut sum = first.clone();
    others.iter().all(|cell| sum.add(cell).is_ok())
}

#[divan::bench]
fn merge(bencher: Bencher<'_, '_>) {
    let cells = cells();
    bencher.counter(ItemsCount::new(CELLS)).bench(|| counted_merge(black_box(&cells)));
}
