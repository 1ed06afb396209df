use proptest::{collection::vec, option, prelude::*};
use serde::de::DeserializeSeed;
use tidemill_domain::{Amount, Currency};

use super::*;
use crate::{Converted, Distinct, QuantileSketch};

fn measure() -> impl Strategy<Value = Measure> {
    let amount = || any::<i64>().prop_map(|n| Amount::from_micros(i128::from(n)));
    let set = vec("[a-c]{0,3}", 0..9).prop_map(|texts| {
        let mut set = Distinct::default();
        for text in &texts {
            set.insert(text);
        }
        set
    });
    let sketch = vec(-1.0..1e6, 0..9).prop_map(|values| {
        let mut sketch = QuantileSketch::default();
        for value in values {
            sketch.insert(value);
        }
        sketch
    });
    prop_oneof![
        any::<u64>().prop_map(Measure::Count),
        any::<u64>().prop_map(Measure::DistinctKeyed),
        amount().prop_map(Measure::Sum),
        option::of(amount()).prop_map(Measure::Min),
        option::of(amount()).prop_map(Measure::Max),
        (amount(), any::<u64>()).prop_map(|(sum, count)| Measure::Average { sum, count }),
        set.prop_map(Measure::DistinctSketch),
        (0_u16..1000, sketch).prop_map(|(per_mille, sketch)| Measure::Quantile { per_mille, sketch }),
    ]
}

/// Any totals: with gaps, converted or not, each to a state of any kind.
fn totals() -> impl Strategy<Value = Totals> {
    let count = || prop_oneof![Just(0), any::<u64>()];
    let base = option::of((prop::sample::select(vec!["EUR", "USD"]), any::<u64>(), option::of(measure())));
    let total = (measure(), [count(), count(), count()], base).prop_map(|(measure, gaps, base)| {
        let [unread, rounded, unconverted] = gaps;
        let converted = base.map(|(base, rows, state)| {
            let base: Currency = base.parse().expect("a currency");
            Converted { base, rows, state }
        });
        MeasureTotal { measure, unread, rounded, converted, unconverted }
    });
    vec(total, 0..6).prop_map(Totals)
}

fn read(shape: &TotalsShape, text: &str) -> Result<Totals, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let totals = shape.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| totals)
}

proptest! {
    #[test]
    fn totals_come_back_in_their_own_shape_and_in_any(totals in totals(), other in totals()) {
        for shape in [TotalsShape::of(&totals), TotalsShape::of(&other)] {
            let text = serde_json::to_string(&shape.dense(&totals)).expect("is JSON");
            prop_assert_eq!(&read(&shape, &text).expect("and is read back"), &totals);
        }
        let shape = TotalsShape::of(&totals);
        let text = serde_json::to_string(&shape).expect("is JSON");
        prop_assert_eq!(&serde_json::from_str::<TotalsShape>(&text).expect("and is read back"), &shape);
    }

    #[test]
    fn totals_take_no_more_than_their_weight(totals in totals()) {
        let text = serde_json::to_string(&TotalsShape::of(&totals).dense(&totals)).expect("is JSON");
        // Brackets, and commas between them.
        prop_assert!(text.len() <= totals.weight() + 2, "{} of {}: {text}", totals.weight(), text.len());
    }
}

#[test]
fn a_total_is_its_state() {
    let amount: Amount = "21.50".parse().expect("an amount");
    let mut totals = Totals::of([Measure::Count(3), Measure::Sum(amount), Measure::Min(None)]);
    let converted = Converted { base: Currency::EUR, rows: 2, state: None };
    totals.0.push(MeasureTotal { converted: Some(converted), ..Measure::Sum(amount).into() });
    let shape = TotalsShape::of(&totals);
    assert_eq!(serde_json::to_string(&shape).expect("is JSON"), r#"["count","sum","min","sum"]"#);
    let text = r#"[3,"21.50",null,{"state":"21.50","base":"EUR","rows":2}]"#;
    assert_eq!(serde_json::to_string(&shape.dense(&totals)).expect("is JSON"), text);
}

#[test]
fn what_is_not_of_the_shape_is_refused() {
    let shape: TotalsShape = serde_json::from_str(r#"["sum"]"#).expect("a shape");
    for text in ["[3]", "[null]", r#"["x"]"#, "[[]]", "[{}]", r#"["1",2]"#, "{}", r#"[{"state":{"kind":"x"}}]"#] {
        assert!(read(&shape, text).is_err(), "{text}");
    }
    assert!(read(&shape, r#"["1",{"state":{"kind":"count","state":2},"new":[]}]"#).is_ok());
}
