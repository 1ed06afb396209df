use proptest::prelude::*;
use tidemill_totals::{Distinct, QuantileSketch};

use super::*;

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        any::<i64>().prop_map(|n| Amount::from_units(n.into())),
        any::<i32>().prop_map(|n| Amount::from_int(n.into())),
        (-(10_i128.pow(37))..10_i128.pow(37)).prop_map(Amount::from_units)
    ]
}

fn plain() -> impl Strategy<Value = Measure> {
    prop_oneof![
        any::<u64>().prop_map(Measure::Count),
        any::<u64>().prop_map(Measure::DistinctKeyed),
        amount().prop_map(Measure::Sum),
        prop::option::of(amount()).prop_map(Measure::Min),
        prop::option::of(amount()).prop_map(Measure::Max),
        (amount(), any::<u64>()).prop_map(|(sum, count)| Measure::Average { sum, count }),
    ]
}

fn measure() -> impl Strategy<Value = Measure> {
    let sketch = prop::collection::vec("[a-z]{0,3}", 0..5).prop_map(|texts| {
        let mut set = Distinct::default();
        texts.iter().for_each(|text| {
            set.insert(text);
        });
        Measure::DistinctSketch(set)
    });
    let quantile = (0_u16..=1000, prop::collection::vec(-1e6_f64..1e6, 0..5)).prop_map(|(per_mille, values)| {
        let mut sketch = QuantileSketch::default();
        values.iter().for_each(|value| {
            sketch.insert(*value);
        });
        Measure::Quantile { per_mille, sketch }
    });
    prop_oneof![6 => plain(), 1 => sketch, 1 => quantile]
}

fn a_total() -> impl Strategy<Value = MeasureTotal> {
    let counts = prop_oneof![2 => Just((0, 0, 0)), 1 => (0..3_u64, any::<u64>(), 0..300_u64)];
    let converted = prop::option::of((any::<u64>(), prop::option::of(plain())).prop_map(|(rows, state)| Converted {
        base: "EUR".parse().expect("a currency"),
        rows,
        state,
    }));
    (measure(), counts, converted).prop_map(|(measure, (unread, rounded, unconverted), converted)| MeasureTotal {
        measure,
        unread,
        rounded,
        converted,
        unconverted,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        values in prop::collection::vec(".*", 0..4),
        totals in prop::collection::vec(a_total(), 0..5),
        sampled in prop::option::of((1_u128.., 1_u64..)),
        cut in 1_usize..9,
    ) {
        let exemplar = sampled.and_then(|(trace, span)| TraceParent::new(trace, span, true));
        let values = values.into_iter().map(Arc::from).collect();
        let expected = CellContent { values, totals: Totals(totals), exemplar };
        let mut bytes = Vec::new();
        put_content(&mut bytes, &expected.values, &expected.totals, exemplar).expect("has a form");
        let dimensions = expected.values.len();
        prop_assert_eq!(content(&bytes, dimensions).expect("is whole"), expected);
        // What is cut off may be read as another; it is never more than an error.
        let _ = content(&bytes[..bytes.len().saturating_sub(cut)], dimensions);
    }
}
