use tidemill_domain::{Amount, Currency};

use super::*;
use crate::QuantileSketch;

#[test]
fn a_total_is_read_whatever_the_order_of_its_members() {
    let mut sketch = QuantileSketch::default();
    sketch.insert(3.5);
    let mut total = MeasureTotal::from(Measure::Quantile { per_mille: 950, sketch });
    total.unread = 2;
    let text = serde_json::to_string(&total).expect("a total is JSON");
    assert_eq!(serde_json::from_str::<MeasureTotal>(&text).expect("and is read back"), total);
    let mut turned: Vec<(String, serde_json::Value)> =
        serde_json::from_str::<serde_json::Map<_, _>>(&text).expect("an object").into_iter().collect();
    turned.reverse();
    let turned = serde_json::Value::Object(turned.into_iter().collect()).to_string();
    assert_ne!(turned, text);
    assert_eq!(serde_json::from_str::<MeasureTotal>(&turned).expect("and is read back"), total);
}

#[test]
fn a_total_without_gaps_is_written_as_it_always_was() {
    let text = r#"[{"kind":"sum","state":"25.80"},{"kind":"count","state":3}]"#;
    let totals: Totals = serde_json::from_str(text).expect("totals");
    assert_eq!(totals, Totals::of([Measure::Sum("25.80".parse().expect("an amount")), Measure::Count(3)]));
    assert_eq!(serde_json::to_string(&totals).expect("are JSON"), text);
}

#[test]
fn gaps_of_partitions_add_up() {
    let gap = |unread, rounded| Totals(vec![MeasureTotal { unread, rounded, ..Measure::Count(1).into() }]);
    let mut sum = gap(1, 0);
    sum.add(&gap(2, 3)).expect("of one shape");
    assert_eq!(sum, Totals(vec![MeasureTotal { unread: 3, rounded: 3, ..Measure::Count(2).into() }]));
    assert_eq!(sum.nothing(), Totals::of([Measure::Count(0)]));
}

fn read(text: &str) -> ReadAmount {
    Amount::read(text).expect(text)
}

fn currency(code: &str) -> Currency {
    code.parse().expect(code)
}

fn base(code: &str, converted: Option<&str>) -> Option<BaseAmount> {
    Some(BaseAmount { base: currency(code), converted: converted.map(read) })
}

#[test]
fn what_is_in_the_base_currency_is_stored_once() {
    let mut total = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    total.add_money(read("20"), base("EUR", None));
    total.add_money(read("1.5"), base("EUR", None));
    let text = r#"{"kind":"sum","state":"21.50","converted":{"base":"EUR","rows":2}}"#;
    assert_eq!(serde_json::to_string(&total).expect("is JSON"), text);
    assert_eq!(serde_json::from_str::<MeasureTotal>(text).expect("and is read back"), total);
    let known = total.in_base(Some(Currency::EUR));
    assert_eq!((known.value, known.unconverted), (Value::Amount("21.50".parse().expect("an amount")), 0));
}

#[test]
fn another_currency_is_converted_beside_its_sum_and_rows_without_a_rate_are_counted() {
    let mut total = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    total.add_money(read("15000"), None);
    assert_eq!(total.in_base(Some(Currency::EUR)).value, Value::None, "nothing is known of it");
    total.add_money(read("15000"), base("EUR", Some("92.0245")));
    total.add_money(read("1"), base("EUR", None));
    let text = r#"{"kind":"sum","state":"30001.00","converted":{"base":"EUR","rows":2,"state":{"kind":"sum","state":"93.0245"}},"unconverted":1}"#;
    assert_eq!(serde_json::to_string(&total).expect("is JSON"), text);
    assert_eq!(serde_json::from_str::<MeasureTotal>(text).expect("and is read back"), total);
}

#[test]
fn two_base_currencies_are_never_added() {
    let mut total = MeasureTotal::from(Measure::Max(None));
    total.add_money(read("3"), base("USD", None));
    total.add_money(read("5"), base("EUR", None));
    total.add_money(read("2"), base("USD", None));
    let known = total.in_base(Some(Currency::EUR));
    assert_eq!((known.value, known.unconverted), (Value::Amount(Amount::from_int(5)), 2));
    assert_eq!(total.in_base(Some(currency("USD"))).value, Value::None);
    assert_eq!(total.in_base(Some(currency("USD"))).unconverted, 3);
    let nothing = total.nothing().in_base(None);
    assert_eq!((nothing.value, nothing.unconverted), (Value::None, 0), "there is no greatest of nothing");
}

#[test]
fn what_is_rounded_where_it_is_converted_is_marked_once() {
    let mut total = MeasureTotal::from(Measure::Average { sum: Amount::ZERO, count: 0 });
    let long = Amount::product(["0.333333", "0.1111111111111"]).expect("a product");
    assert!(long.rounded);
    total.add_money(long, Some(BaseAmount { base: Currency::EUR, converted: Some(long) }));
    total.add_money(read("1"), Some(BaseAmount { base: Currency::EUR, converted: Some(long) }));
    total.add_money(read("1"), base("EUR", Some("2")));
    assert_eq!(total.rounded, 2);
}

#[test]
fn what_is_no_total_is_refused_and_what_is_more_is_passed_over() {
    let read = |text: &str| serde_json::from_str::<MeasureTotal>(text).map_err(|error| error.to_string());
    let total = MeasureTotal::from(Measure::Count(3));
    assert_eq!(read(r#"{"new":{"a":[1]},"state":3,"kind":"count"}"#), Ok(total.clone()));
    assert_eq!(read(r#"{"kind":"count","state":3,"converted":null}"#), Ok(total));
    for (text, why) in [
        (r#"{"state":3}"#, "missing field `kind`"),
        (r#"{"kind":"count"}"#, "missing field `state`"),
        (r#"{"kind":"mode","state":3}"#, "unknown variant `mode`"),
        (r#"{"kind":"count","state":"3"}"#, "invalid type: string"),
        (r#"{"state":"3","kind":"count"}"#, "invalid type: string"),
        ("[]", "a total of a measure"),
    ] {
        let told = read(text).expect_err(why);
        assert!(told.contains(why), "{told}");
    }
}
