use tidemill_domain::Partition;
use tidemill_events::event::splice_enrichment;

use super::*;
use crate::rules::Rules;

const HOUR: i64 = 3_600_000;

fn now() -> Timestamp {
    Timestamp::saturating_from_millis(1_800_000_000_000)
}

fn rules(saved: &Saved) -> EventRules {
    let mut rules = Rules::default();
    let text = include_str!("../../../rules/fraud_detection.yaml");
    rules
        .add("rule.yaml", text, &tidemill_definitions::Metrics::load(None).expect("metrics"))
        .expect("the rule is right");
    EventRules::new(rules.event, saved, Arc::default())
}

fn order(id: &str, subject: &str, time: Timestamp, price: &str) -> serde_json::Value {
    json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": "order.placed", "time": time, "subject": subject,
        "clientip": "203.0.113.9",
        "data": { "order_id": id, "items": [
            { "product_id": "p1", "quantity": 2, "unit_price": price },
            { "product_id": "p2", "quantity": 1, "unit_price": "0.10" },
        ]},
    })
}

fn batch(raw_seq: u64, events: &[(serde_json::Value, Enrichment)]) -> EnrichedBatch {
    let mut lines = Vec::new();
    for (event, enrichment) in events {
        splice_enrichment(event.to_string().as_bytes(), enrichment, &mut lines).expect("serialises");
    }
    EnrichedBatch {
        partition: Partition::new(3),
        raw_seq,
        raw_prev: raw_seq - 1,
        remade: None,
        ingested_at: now(),
        refdata: 1,
        count: events.len() as u32,
        types: None,
        lines: lines.into(),
        trace: None,
    }
}

fn from(country: &str, address: &str) -> Enrichment {
    Enrichment {
        region: "Europe".into(),
        country: Some(country.into()),
        ip_country: Some(address.into()),
        ..Enrichment::default()
    }
}

fn apply(rules: &EventRules, batch: &EnrichedBatch) -> StepChanges {
    let mut changes = StepChanges::default();
    rules.apply(batch, now(), &mut changes);
    changes
}

#[test]
fn signals_add_up_and_an_alert_says_which() {
    let rules = rules(&Saved::default());
    let quiet = batch(1, &[(order("1", "c1", now(), "1500.00"), from("GB", "GB"))]);
    assert!(apply(&rules, &quiet).alerts.is_empty(), "one signal of 40 is not enough");
    let loud = batch(2, &[(order("2", "c2", now(), "1500.00"), from("GB", "NG"))]);
    let alerts = apply(&rules, &loud).alerts;
    assert_eq!(alerts.len(), 1);
    let firing = &alerts[0].firing;
    assert_eq!(firing.title, "Suspicious order of c2");
    assert_eq!(
        firing.summary,
        "Score 80: large amount, country differs from address. Amount 3000.10, country GB, address in NG."
    );
    assert_eq!(firing.dimensions["ip_country"], "NG");
    assert_eq!(firing.values["amount"], Value::Amount("3000.10".parse().expect("an amount")));
    assert_eq!(firing.id, apply(&self::rules(&Saved::default()), &loud).alerts[0].firing.id, "the id is of the event");
}

#[test]
fn what_was_counted_may_wait_and_an_alert_may_not() {
    let rules = rules(&Saved::default());
    let quiet = batch(1, &[(order("1", "c1", now(), "1.00"), from("GB", "GB"))]);
    let mut changes = apply(&rules, &quiet);
    assert!(changes.observations.is_some());
    assert!(changes.may_wait());
    changes.extend(apply(&rules, &batch(2, &[(order("2", "c2", now(), "1500.00"), from("GB", "NG"))])));
    assert!(!changes.may_wait(), "and it takes along what waited");
}

#[test]
fn duplicates_history_and_other_types_are_passed_over() {
    let rules = rules(&Saved::default());
    let duplicate = Enrichment { duplicate: true, ..from("GB", "NG") };
    let old = order("2", "c2", now().plus_millis(-25 * HOUR), "9000.00");
    let mut view = order("3", "c3", now(), "9000.00");
    view["type"] = "product.viewed".into();
    let ahead = order("4", "c4", now().plus_millis(25 * HOUR), "9000.00");
    let events = [
        (order("1", "c1", now(), "9000.00"), duplicate),
        (old, from("GB", "NG")),
        (view, from("GB", "NG")),
        (ahead, from("GB", "NG")),
    ];
    let changes = apply(&rules, &batch(1, &events));
    assert!(changes.alerts.is_empty());
    assert_eq!(changes.observations, None, "and none of them is counted");
}

#[test]
fn velocity_is_counted_and_a_restart_goes_on_counting() {
    let first = rules(&Saved::default());
    let calm = |n: u64| {
        let order = order(&n.to_string(), "c1", now().plus_millis(n as i64), "1.00");
        batch(n, &[(order, from("GB", "GB"))])
    };
    let mut saved = Saved::default();
    for n in 1..=5 {
        let changes = apply(&first, &calm(n));
        assert!(changes.alerts.is_empty());
        saved.observations.extend(changes.observations);
    }
    let restarted = rules(&saved);
    for rules in [&first, &restarted] {
        let alerts = apply(rules, &calm(6)).alerts;
        assert_eq!(alerts.len(), 1, "the sixth order of a customer within ten minutes");
        assert_eq!(alerts[0].firing.values["orders_per_customer"], Value::Count(6));
    }
}

#[test]
fn a_rule_over_members_that_it_names_itself() {
    let text = "rule: HEAVY\nseverity: info\ntitle: \"{weight}\"\nsummary: s\non: event\ntypes: [parcel.sent]\n\
                amounts: {weight: [{sum: [data.parcel.kilos]}]}\nlists: {stops: data.route}\n\
                signals: [{name: heavy, when: \"weight > 2.0 && size(stops) > 1\", score: 1}]\nfire_at: 1\n";
    let mut rules = Rules::default();
    let metrics = tidemill_definitions::Metrics::load(None).expect("metrics");
    rules.add("rule.yaml", text, &metrics).expect("the rule is right");
    let rules = EventRules::new(rules.event, &Saved::default(), Arc::default());
    let sent = |data: serde_json::Value| {
        let event = json!({ "id": "1", "source": "depot", "type": "parcel.sent", "time": now(), "data": data });
        apply(&rules, &batch(1, &[(event, Enrichment::default())])).alerts
    };
    let alerts = sent(json!({ "parcel": { "kilos": "2.75" }, "route": ["a", "b"] }));
    assert_eq!(alerts[0].firing.title, "2.75");
    assert_eq!(alerts[0].firing.values["weight"], Value::Amount("2.75".parse().expect("an amount")));
    assert!(!alerts[0].firing.values.contains_key("amount"), "it has none of the shop's");
    assert!(sent(json!({ "parcel": { "kilos": "2.75" } })).is_empty(), "a list that is not there is empty");
}

#[test]
fn an_order_in_yen_is_compared_in_the_base_currency() {
    let rules = rules(&Saved::default());
    let in_yen = |rate: Option<&str>| Enrichment {
        currency: "JPY".parse().ok(),
        rate: rate.map(String::from),
        base: rate.and("EUR".parse().ok()),
        quality: if rate.is_some() { vec![] } else { vec![tidemill_events::QualityFlag::RateUnknown] },
        ..from("GB", "NG")
    };
    for (n, rate) in [(1, None), (2, Some("0.0062"))] {
        let order = order(&n.to_string(), "c1", now(), "15000");
        assert!(apply(&rules, &batch(n, &[(order, in_yen(rate))])).alerts.is_empty(), "about 186 euros: {rate:?}");
    }
    let large = batch(3, &[(order("3", "c2", now(), "1000000"), in_yen(Some("0.0062")))]);
    let firing = &apply(&rules, &large).alerts[0].firing;
    assert!(firing.summary.contains("Amount 2000000.1 JPY (12400.00 EUR)"), "{}", firing.summary);
    assert_eq!(firing.values["amount"], Value::Amount("12400.00062".parse().expect("an amount")));
}

#[test]
fn a_batch_of_other_types_comes_without_its_events_and_changes_nothing() {
    let rules = rules(&Saved::default());
    let about = |types: &[&str]| rules.are_about(&EventTypes::of(types.iter().copied()).expect("are named"));
    assert!(about(&["order.cancelled", "order.placed"]));
    assert!(!about(&["order.cancelled", "order.placed.twice"]));
    let unread = EnrichedBatch { count: 7, ..batch(1, &[]) };
    assert_eq!(apply(&rules, &unread).parts(), 0);
}

#[test]
fn steps_that_wait_for_each_other_come_to_what_one_would() {
    let order = |n: u64| (order(&n.to_string(), "c1", now().plus_millis(n as i64), "6000.00"), from("GB", "NG"));
    let batches = [batch(1, &[order(1)]), batch(2, &[]), batch(3, &[order(3), order(4)])];
    let (one, each) = (rules(&Saved::default()), rules(&Saved::default()));
    let (mut together, mut apart) = (StepChanges::default(), StepChanges::default());
    for batch in &batches {
        one.apply(batch, now(), &mut together);
        apart.extend(apply(&each, batch));
    }
    assert_eq!(together.alerts.len(), 3);
    assert_eq!(apart, together);
}
