use proptest::prelude::*;
use tidemill_definitions::Data;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use super::*;
use crate::QualityRules;

/// Rules of a contract, each with its severity and implementation.
fn judge(rules: &[(&str, &str, &str)]) -> EventJudge {
    let mut text = String::from(
        "apiVersion: v3.0.2\nkind: DataContract\nid: a\nversion: '1'\nstatus: active\nschema:\n  - name: silver/events\n    quality:\n",
    );
    for (name, severity, implementation) in rules {
        text += &format!(
            "      - name: {name}\n        type: custom\n        engine: tidemill\n        severity: {severity}\n        \
             implementation: {{{implementation}}}\n"
        );
    }
    EventJudge { contract: DataContract::parse("c.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")) }
}

fn line(data: &str, enriched: &str) -> String {
    format!(
        r#"{{"id":"1","source":"s","type":"order.placed","time":"2026-01-02T03:04:05Z","subject":"c","data":{data},"enriched":{{"refdata":1,"region":"Unknown"{enriched}}}}}"#
    )
}

/// The judged event of a line that came a minute after it happened.
fn with<T>(line: &str, then: impl FnOnce(&JudgedEvent<'_, '_>) -> T) -> T {
    let event = EnrichedEventRef::read(line.as_bytes()).expect("an event");
    let unknown = EnrichmentRef::default();
    let data = Data::of(event.data);
    let received = event.time.plus_millis(60_000);
    then(&JudgedEvent::new(&event, event.enriched.as_ref().unwrap_or(&unknown), &data, received))
}

/// What the rules make of a line: names of those that warn, or the one that is worse.
fn verdict(judge: &EventJudge, line: &str) -> String {
    with(line, |judged| match judge.judge(judged) {
        Verdict::Passes(warned) => judge.names(warned).unwrap_or_default().into_owned(),
        Verdict::Quarantined(rule) => format!("quarantine {} {}", rule.name(), rule.pointer().unwrap_or("-")),
        Verdict::Stops(rule) => format!("fail {}", rule.name()),
    })
}

#[test]
fn each_check_tells_what_is_so_from_what_is_not() {
    for (check, holds, fails, does_not_apply) in [
        ("check: present, field: data.a", r#"{"a":{"b":1}}"#, r#"{"a":" "}"#, ""),
        ("check: email, field: data.a", r#"{"a":" a@b.de "}"#, r#"{"a":"a@b"}"#, "{}"),
        ("check: one_of, field: data.a, values: [x, '7']", r#"{"a":7}"#, r#"{"a":"y"}"#, "{}"),
        ("check: range, field: data.a, least: 0, most: '9.5'", r#"{"a":"9.50"}"#, r#"{"a":"9.51"}"#, "{}"),
        ("check: range, field: data.a, least: 0", r#"{"a":0}"#, r#"{"a":"many"}"#, "{}"),
        ("condition: data.a > 1", r#"{"a":"2"}"#, "{}", ""),
        ("condition: 'size(data.a) == 2'", r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, ""),
    ] {
        let judge = judge(&[("rule", "warn", check)]);
        assert_eq!(verdict(&judge, &line(holds, "")), "", "{check}");
        assert_eq!(verdict(&judge, &line(fails, "")), "rule", "{check}");
        if !does_not_apply.is_empty() {
            assert_eq!(verdict(&judge, &line(does_not_apply, "")), "", "{check}");
        }
    }
    for (check, holds, fails) in [
        (
            "check: known_product",
            r#","items":[{"category":"Books"}]"#,
            r#","items":[{"category":"Unknown"}],"quality":["product_unknown"]"#,
        ),
        ("check: known_country", r#","country":"DE""#, r#","quality":["country_unknown"]"#),
        ("check: known_customer", "", r#","quality":["rate_unknown","customer_unknown"]"#),
        ("check: known_currency", r#","currency":"EUR""#, r#","currency":"ABC""#),
        ("check: known_currency", "", r#","quality":["currency_unknown"]"#),
        (
            "check: without_flag, flag: order_unknown",
            r#","quality":["rate_unknown"]"#,
            r#","quality":["order_unknown"]"#,
        ),
    ] {
        let judge = judge(&[("rule", "warn", check)]);
        assert_eq!(verdict(&judge, &line("{}", holds)), "", "{check}");
        assert_eq!(verdict(&judge, &line("{}", fails)), "rule", "{check}");
    }
}

#[test]
fn history_may_be_old_and_nothing_may_be_ahead() {
    let judge = judge(&[("time", "warn", "check: plausible_time, past_days: 0, ahead_seconds: 0")]);
    let now = line("{}", "");
    assert_eq!(verdict(&judge, &now), "time", "it came a minute later");
    assert_eq!(verdict(&judge, &now.replace(r#""subject""#, r#""backfill":"2025","subject""#)), "");
}

#[test]
fn the_most_severe_rule_counts_and_the_first_of_those() {
    let rules = [
        ("of_others", "fail", "condition: 'false', types: [cart.emptied]"),
        ("a", "warn", "condition: data.a != 1"),
        ("b", "quarantine", "condition: data.a < 2, pointer: /data/b"),
        ("c", "quarantine", "check: range, field: data.a, most: 1"),
        ("d", "fail", "condition: data.a < 3"),
    ];
    let judge = judge(&rules);
    assert_eq!(verdict(&judge, &line(r#"{"a":0}"#, "")), "");
    assert_eq!(verdict(&judge, &line(r#"{"a":1}"#, "")), "a");
    assert_eq!(verdict(&judge, &line(r#"{"a":2}"#, "")), "quarantine b /data/b");
    assert_eq!(verdict(&judge, &line(r#"{"a":3}"#, "")), "fail d");
    assert!(judge.unreadable().is_none());
    assert!(judge.needs_data("order.placed") && judge.needs_data("cart.emptied"));
}

#[test]
fn what_comes_with_the_lake_asks_for_no_data_of_most_events() {
    let judge = EventJudge::of(&ContractSet::load(None).expect("contracts")).expect("a contract");
    let quality = QualityRules::load(None).expect("rules");
    assert!(!judge.needs_data("product.viewed") && !quality.needs_data("product.viewed"));
    assert!(matches!(judge.unreadable(), Some(Verdict::Quarantined(rule)) if rule.name() == "readable"));
    let found = r#","country":"DE","currency":"EUR","items":[{"category":"Books"}]"#;
    assert_eq!(verdict(&judge, &line("{}", found)), "");
    let lost = r#","quality":["product_unknown","country_unknown","currency_unknown","rate_unknown"]"#;
    let expected = "product_known,country_known,currency_known,rate_known,email_valid";
    assert_eq!(verdict(&judge, &line(r#"{"email":"nobody"}"#, lost)), expected);
}

proptest! {
    /// A check without CEL says what the same condition in CEL says.
    #[test]
    fn the_quick_way_says_what_cel_says(a in -3_i64..12, has in any::<bool>(), text in "[a-c]{0,2}") {
        let data = if has { format!(r#"{{"a":{a},"t":"{text}"}}"#) } else { "{}".into() };
        let quick = judge(&[
            ("range", "warn", "check: range, field: data.a, least: 0, most: 9"),
            ("one", "warn", "check: one_of, field: data.t, values: [a, b]"),
            ("there", "warn", "check: present, field: data.t"),
        ]);
        let slow = judge(&[
            ("range", "warn", "condition: '!has(data.a) || (data.a >= 0 && data.a <= 9)'"),
            ("one", "warn", "condition: \"!has(data.t) || size(data.t) == 0 || data.t in ['a', 'b']\""),
            ("there", "warn", "condition: has(data.t) && size(data.t) > 0"),
        ]);
        prop_assert_eq!(verdict(&quick, &line(&data, "")), verdict(&slow, &line(&data, "")));
    }
}
