use tidemill_definitions::Metrics;

use super::*;
use crate::rules::Rules;

const FRAUD: &str = include_str!("../../../rules/fraud_detection.yaml");

/// `amount` of this data, in a rule that says this of amounts.
fn amount(amounts: &str, data: &str) -> String {
    let mut rules = Rules::default();
    let text = format!("{FRAUD}{amounts}");
    rules.add("rule.yaml", &text, &Metrics::load(None).expect("the defaults load")).expect("the rule is right");
    let data: &RawValue = serde_json::from_str(data).expect("JSON");
    EventAmount::of(&rules.event[0].amounts["amount"], &Data::of(Some(data)), &Enrichment::default()).text()
}

#[test]
fn a_shops_amounts_are_exact_and_no_spelling_hides_one() {
    let amount = |data: &str| amount("", data);
    assert_eq!(amount(r#"{"items":[{"quantity":3,"unit_price":0.1},{"quantity":"2","unit_price":"1e2"}]}"#), "200.30");
    assert_eq!(amount(r#"{"quantity":2,"unit_price":9.99}"#), "19.98");
    assert_eq!(amount(r#"{"amount":"12.5"}"#), "12.50");
    assert_eq!(amount(r#"{"items":[{"quantity":0.5,"unit_price":9999.000001}]}"#), "4999.5000005");
    assert_eq!(amount("{}"), "0.00");
}

#[test]
fn the_first_way_counts_by_which_an_event_has_the_amount() {
    let amount = |data: &str| amount("", data);
    assert_eq!(amount(r#"{"items":[],"quantity":2,"unit_price":3,"amount":5}"#), "0.00", "a list, and nothing in it");
    assert_eq!(amount(r#"{"items":[{"quantity":1}],"amount":5}"#), "0.00", "an item without a price adds nothing");
    assert_eq!(amount(r#"{"items":null,"quantity":2,"unit_price":3,"amount":5}"#), "6.00");
    assert_eq!(amount(r#"{"quantity":2,"unit_price":"free","amount":5}"#), "5.00");
}

#[test]
fn a_rule_says_which_members_are_its_amount() {
    let own = "amounts:\n  amount:\n    - {each: data.cart.lines, sum: [item.price.net, data.rate]}\n    \
               - {sum: [data.total]}\n";
    let amount = |data: &str| amount(own, data);
    let lines = r#"{"cart":{"lines":[{"price":{"net":"10"}},{"price":{"net":2.5}}]},"rate":2,"total":1}"#;
    assert_eq!(amount(lines), "25.00");
    assert_eq!(amount(r#"{"total":"7.10","amount":1000}"#), "7.10");
    assert_eq!(amount(r#"{"items":[{"quantity":1,"unit_price":9}],"amount":1000}"#), "0.00");
}

#[test]
fn money_is_compared_in_the_base_currency_and_told_in_its_own() {
    let mut rules = Rules::default();
    let own = "amounts:\n  amount: [{sum: [data.amount], money: currency}]\n  kilos: [{sum: [data.amount]}]\n";
    let metrics = Metrics::load(None).expect("the defaults load");
    rules.add("rule.yaml", &format!("{FRAUD}{own}"), &metrics).expect("the rule is right");
    let data: &RawValue = serde_json::from_str(r#"{"amount":"15000"}"#).expect("JSON");
    let of = |name: &str, enriched: &str| {
        let enriched: Enrichment =
            serde_json::from_str(&format!(r#"{{"refdata":1,"region":"x",{enriched}}}"#)).expect("JSON");
        let amount = EventAmount::of(&rules.event[0].amounts[name], &Data::of(Some(data)), &enriched);
        (amount.compared().to_string(), amount.text(), amount.value() == Value::None)
    };
    for (enriched, compared, text, is_unknown) in [
        (r#""currency":"EUR""#, "15000.00", "15000.00 EUR", false),
        (r#""currency":"JPY","rate":"0.0062","base":"EUR""#, "93.00", "15000 JPY (93.00 EUR)", false),
        (r#""currency":"EUR","rate":"161.29","base":"JPY""#, "2419350.00", "15000.00 EUR (2419350 JPY)", false),
        (r#""currency":"KWD","quality":["rate_unknown"]"#, "0.00", "15000.000 KWD (no rate known)", true),
        (r#""quality":["currency_unknown"]"#, "0.00", "15000.00 of an unknown currency", true),
        (r#""quality":[]"#, "15000.00", "15000.00", false),
    ] {
        assert_eq!(of("amount", enriched), (compared.into(), text.into(), is_unknown), "{enriched}");
        assert_eq!(of("kilos", enriched).0, "15000.00", "kilos are not converted");
    }
}
