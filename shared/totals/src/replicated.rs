//! Totals as many partitions, and many replicas of each, report them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::Partition;

use crate::{MergeError, Totals};

/// The furthest totals of each partition, with the `RAW` sequence they reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Replicated(BTreeMap<Partition, (u64, Totals)>);

impl Replicated {
    /// Takes note of a partition's totals up to `raw_seq`; answers whether
    /// they reach further than what was known.
    pub fn observe(&mut self, partition: Partition, raw_seq: u64, totals: Totals) -> bool {
        match self.0.get(&partition) {
            Some((known, _)) if *known >= raw_seq => false,
            _ => {
                self.0.insert(partition, (raw_seq, totals));
                true
            }
        }
    }

    /// Everything that either side knows.
    pub fn merge(&mut self, other: &Self) {
        for (partition, (raw_seq, totals)) in &other.0 {
            if self.0.get(partition).is_none_or(|(known, _)| known < raw_seq) {
                self.0.insert(*partition, (*raw_seq, totals.clone()));
            }
        }
    }

    /// The sum over the partitions, or `None` where there is none.
    pub fn sum(&self) -> Result<Option<Totals>, MergeError> {
        let mut all = self.0.values().map(|(_, totals)| totals);
        let Some(first) = all.next() else { return Ok(None) };
        let mut sum = first.clone();
        all.try_for_each(|totals| sum.add(totals))?;
        Ok(Some(sum))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tidemill_domain::{Amount, BaseAmount, Currency};

    use super::*;
    use crate::{Distinct, Measure, MeasureTotal, QuantileSketch};

    /// Totals as a function of (partition, prefix), like the real ones.
    fn totals(partition: u16, raw_seq: u64) -> Totals {
        let (mut set, mut sketch) = (Distinct::default(), QuantileSketch::default());
        for n in 0..raw_seq {
            set.insert(&(n % 7 * u64::from(partition + 1)).to_string());
            sketch.insert(n as f64);
        }
        let amount = Amount::from_int(i64::from(partition) * 1000 + raw_seq as i64);
        let mut totals = Totals::of([
            Measure::Count(raw_seq),
            Measure::Sum(amount),
            Measure::Min((raw_seq > 0).then_some(amount)),
            Measure::Max((raw_seq > 0).then_some(amount)),
            Measure::Average { sum: amount, count: raw_seq },
            Measure::DistinctKeyed(raw_seq / 2),
            Measure::DistinctSketch(set),
            Measure::Quantile { per_mille: 950, sketch },
        ]);
        totals.0.push(money(partition, raw_seq));
        totals
    }

    /// Rows of money: in a base currency, converted to one of two, or without a rate.
    fn money(partition: u16, raw_seq: u64) -> MeasureTotal {
        let mut total = MeasureTotal::from(Measure::Sum(Amount::ZERO));
        let read = |n: u64| Amount::read(&n.to_string()).expect("a whole number");
        let base = if partition == 2 { "USD".parse().expect("a currency") } else { Currency::EUR };
        for n in 0..raw_seq {
            let converted = [
                None,
                Some(BaseAmount { base, converted: None }),
                Some(BaseAmount { base, converted: Some(read(n * 2)) }),
            ];
            // Partition 1 has nothing but the base currency.
            total.add_money(read(n), if partition == 1 { converted[1] } else { converted[n as usize % 3] });
        }
        total
    }

    fn observed(updates: &[(u16, u64)]) -> Replicated {
        let mut state = Replicated::default();
        for (partition, raw_seq) in updates {
            state.observe(Partition::new(*partition), *raw_seq, totals(*partition, *raw_seq));
        }
        state
    }

    fn updates() -> impl Strategy<Value = Vec<(u16, u64)>> {
        vec((0u16..4, 0u64..40), 0..12)
    }

    proptest! {
        #[test]
        fn merging_is_associative_commutative_and_idempotent(a in updates(), b in updates(), c in updates()) {
            let (a, b, c) = (observed(&a), observed(&b), observed(&c));
            let merged = |x: &Replicated, y: &Replicated| { let mut x = x.clone(); x.merge(y); x };
            prop_assert_eq!(merged(&a, &merged(&b, &c)), merged(&merged(&a, &b), &c));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&a, &a), a.clone());
        }

        #[test]
        fn arrival_order_and_repeats_change_nothing(mut a in updates(), seed in any::<u64>()) {
            let straight = observed(&a);
            let repeats = a.clone();
            a.extend(repeats);
            let len = a.len().max(1);
            for i in 0..a.len() {
                a.swap(i, (seed as usize).wrapping_add(i * 31) % len);
            }
            prop_assert_eq!(observed(&a), straight);
        }

        #[test]
        fn totals_add_up_in_any_order_and_nothing_adds_nothing(a in (0u16..4, 0u64..40), b in (0u16..4, 0u64..40), c in (0u16..4, 0u64..40)) {
            let [a, b, c] = [a, b, c].map(|(partition, raw_seq)| totals(partition, raw_seq));
            let added = |x: &Totals, y: &Totals| { let mut x = x.clone(); x.add(y).expect("one shape"); x };
            prop_assert_eq!(added(&a, &added(&b, &c)), added(&added(&a, &b), &c));
            prop_assert_eq!(added(&a, &b), added(&b, &a));
            prop_assert_eq!(added(&a, &a.nothing()), a);
        }

        #[test]
        fn states_survive_json(partition in 0u16..4, raw_seq in 0u64..40) {
            let state = totals(partition, raw_seq);
            let json = serde_json::to_string(&state).expect("totals serialise");
            prop_assert_eq!(serde_json::from_str::<Totals>(&json).expect("and read back"), state);
        }
    }

    #[test]
    fn partitions_add_up() {
        let sum = observed(&[(0, 3), (0, 2), (1, 4)]).sum().expect("same shape").expect("two partitions");
        assert_eq!(sum.0[0].measure, Measure::Count(7));
        assert_eq!(sum.0[1].measure, Measure::Sum(Amount::from_int(3 + 1004)));
        assert_eq!(sum.0[5].measure, Measure::DistinctKeyed(1 + 2));
    }

    #[test]
    fn different_shapes_are_an_error() {
        let mut count = Totals::of([Measure::Count(1)]);
        assert_eq!(count.add(&Totals::of([Measure::Sum(Amount::ZERO)])), Err(MergeError));
        assert_eq!(count.add(&Totals::of([])), Err(MergeError));
    }
}
