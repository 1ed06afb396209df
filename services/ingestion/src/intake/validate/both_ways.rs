//! An event that goes to the log as it was sent says there what it would say if it were
//! written anew.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidemill_events::EventRef;

use super::{tests::validate, *};

static VALIDATOR: LazyLock<Validator> = LazyLock::new(validate);

/// What becomes of an event on either way; the first is `None` where it is not for it.
fn both_ways(text: &str, terms: &RequestTerms<'_, impl Fn() -> String>) -> [Option<ValidatedEvents>; 2] {
    let validator = &*VALIDATOR;
    let hints = || ValidatedEvents { hints: Hints::wanted(true), ..ValidatedEvents::default() };
    let (mut verbatim, mut anew, mut tree) = (hints(), hints(), Tree::default());
    let sent = SentEvent { format: &Format::Event, text: text.as_bytes(), sent_at: None };
    let length = validator.accept_verbatim(sent, &mut tree, terms, &mut verbatim);
    assert_eq!(length, (verbatim.parts.bytes() > 0).then(|| verbatim.parts.bytes() - 1));
    let read = Format::Event.read(text.as_bytes(), 64);
    let accepted = read.is_ok_and(|envelope| validator.accept_envelope(envelope, terms, &mut anew).is_ok());
    [length.map(|_| verbatim), accepted.then_some(anew)]
}

fn terms() -> RequestTerms<'static, fn() -> String> {
    let defaults: Defaults<fn() -> String> = Defaults {
        now: Timestamp::EPOCH,
        new_id: || "new".into(),
        clientip: Some([192, 0, 2, 1].into()),
        backfill: "b".parse().ok(),
        redriven: None,
    };
    RequestTerms {
        defaults,
        own_source: None,
        trace: TraceParent::new(1, 2, true),
        schemas: VALIDATOR.schemas.current(),
    }
}

/// All that later stages see of the one event.
fn told(validated: &ValidatedEvents) -> String {
    let (partition, part) = validated.parts.open.iter().next().expect("an event");
    let line: EventRef<'_> = serde_json::from_slice(&part.text).expect("an event");
    let data: Value = line.data.map_or(Value::Null, |data| serde_json::from_str(data.get()).expect("JSON"));
    let EventRef { id, source, kind, time, subject, partitionkey, traceparent, clientip, backfill, unread, .. } = &line;
    let attributes = (id, source, kind, time, subject, partitionkey, traceparent, clientip, backfill, unread);
    let rest = (&part.sources, &part.traces, &validated.accepted, validated.hints.listed());
    format!("{partition} {attributes:?} {data} {rest:?}")
}

fn member() -> impl Strategy<Value = (String, Value)> {
    let trace = |flags: &str| json!(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"));
    let member = prop_oneof![
        ("id|subject|partitionkey|backfill", prop_oneof![any_text().prop_map(Value::from), Just(json!(7))]),
        (
            "time",
            proptest::sample::select(vec![
                json!("2026-01-02T03:04:05Z"),
                json!("2026-01-02T03:04:05.060Z"),
                json!("2026-01-02t03:04:05.06+01:00"),
                json!("2026-02-30T00:00:00Z"),
                json!("2016-12-31T23:59:60Z"),
                Value::Null,
            ])
        ),
        (
            "clientip",
            proptest::sample::select(vec![json!("203.0.113.9"), json!("::1"), json!("::1%eth0"), json!("here")])
        ),
        ("traceparent", proptest::sample::select(vec![trace("00"), trace("01"), trace("03"), json!("00-1")])),
        ("datacontenttype", proptest::sample::select(vec![json!("application/json"), json!("text/plain")])),
        (
            "[a-z]{1,3}",
            prop_oneof![any_text().prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(json!(true))]
        ),
        ("specversion", proptest::sample::select(vec![json!("1.0"), json!("0.3"), Value::Null])),
    ];
    (member, any::<u8>()).prop_map(|((name, value), null)| (name, if null < 16 { Value::Null } else { value }))
}

fn any_text() -> impl Strategy<Value = String> {
    "[ -~é😀]{0,12}|[a-z]{1,8}"
}

fn data() -> impl Strategy<Value = Value> {
    let member = prop_oneof![
        any_text().prop_map(Value::from),
        (-1000..1000).prop_map(Value::from),
        (-100_000..100_000).prop_map(|cents| json!(f64::from(cents) / 100.0)),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([{"sku": "s", "quantity": 1, "unit_price": "2.50", "discount": "free"}])),
    ];
    let name = "product_id|sku|order_id|currency|quantity|unit_price|items|note";
    proptest::collection::btree_map(name, member, 0..6).prop_map(|mut data| {
        data.entry("product_id".into()).or_insert("p".into());
        data.into_iter().collect::<serde_json::Map<_, _>>().into()
    })
}

/// An event, spelt in one of several ways.
fn event() -> impl Strategy<Value = String> {
    let kind = proptest::sample::select(vec!["product.viewed", "order.placed", "order.refunded", "segment.page"]);
    let members = proptest::collection::vec(member(), 0..5);
    (kind, members, data(), 0..4).prop_map(|(kind, members, data, spelling)| {
        let mut event = json!({"type": kind, "source": "shop", "data": data});
        event.as_object_mut().expect("an object").extend(members);
        match spelling {
            0 => event.to_string(),
            1 => format!("{event:#}"),
            2 => event.to_string().replace('/', "\\/").replace(".5,", ".50,"),
            _ => event.to_string().replace("\":", "\" : ").replace(",\"", ", \""),
        }
    })
}

#[test]
fn most_events_go_as_they_were_sent() {
    for (text, is_verbatim) in [
        (
            r#"{"type":"order.placed","source":"shop","data":{"order_id":7,"items":[{"sku":"s","quantity":1,"unit_price":2.50}]}}"#,
            true,
        ),
        (
            r#"{"type":"order.placed","source":"shop","data":{"order_id":7.0,"items":[{"sku":"s","quantity":1,"unit_price":2.50}]}}"#,
            false,
        ),
        (r#"{"type":"order.cancelled","source":"shop","data":{"order_id":"a\nb"}}"#, true),
        (r#"{"type":"product.viewed","source":"shop","data":{"product_id":"p","colour":"red"}}"#, true),
        (r#"{"type":"product.viewed","source":"shop","data":{"product_id":"p"},"id":7}"#, false),
    ] {
        let [verbatim, anew] = both_ways(text, &terms()).map(|validated| validated.map(|validated| told(&validated)));
        assert_eq!((verbatim.is_some(), anew.is_some()), (is_verbatim, true), "{text}");
        assert!(verbatim.is_none() || verbatim == anew, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_event_says_the_same_on_either_way(text in event()) {
        let [verbatim, anew] = both_ways(&text, &terms());
        if let Some(verbatim) = verbatim {
            let line = &verbatim.parts.open.values().next().expect("a part").text;
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let anew = anew.expect("what goes as it was sent is right");
            let value = |validated: &ValidatedEvents| {
                let part = validated.parts.open.values().next().expect("a part");
                serde_json::from_slice::<Value>(&part.text).expect("JSON")
            };
            prop_assert_eq!(value(&verbatim), value(&anew));
            prop_assert_eq!(told(&verbatim), told(&anew));
            let again = both_ways(std::str::from_utf8(line).expect("UTF-8"), &terms());
            let again = again[0].as_ref().map(|again| again.parts.open.values().next().expect("a part").text.clone());
            prop_assert_eq!(again.as_ref(), Some(line), "a line is taken as itself");
        }
    }
}
