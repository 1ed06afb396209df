use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidemill_events::EventRef;

use super::*;

/// What stands where an attribute should be.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[ -~éß\"\\\\\n]{0,8}".prop_map(Value::from),
        1 => Just(json!("2026-01-02T03:04:05Z")),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(json!(1.5)),
        1 => Just(Value::Null),
        1 => Just(json!(["a"])),
        1 => Just(json!({"refdata": 1, "region": "x"})),
    ]
}

static NAMES: [&str; 14] = [
    "id",
    "source",
    "type",
    "time",
    "subject",
    "partitionkey",
    "traceparent",
    "clientip",
    "backfill",
    "unread",
    "redriven",
    "data",
    "enriched",
    "other",
];

fn lines() -> impl Strategy<Value = String> {
    let whole = json!({"id": "1", "source": "s", "type": "t", "time": "2026-01-02T03:04:05.678Z", "subject": "c"});
    let changed = proptest::collection::vec((proptest::sample::select(&NAMES[..]), value()), 0..4);
    let missing = proptest::option::weighted(0.1, proptest::sample::select(&NAMES[..5]));
    (changed, missing, any::<bool>()).prop_map(move |(changed, missing, is_twice)| {
        let mut line: Map<String, Value> = whole.as_object().cloned().unwrap_or_default();
        missing.into_iter().for_each(|name| drop(line.remove(name)));
        line.extend(changed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let text = Value::from(line).to_string();
        let again = format!(",\"subject\":\"d\"{}", "}");
        if is_twice { text.replacen('}', &again, text.len() % 2) } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_reads_what_every_other_reader_does(line in lines()) {
        let known = serde_json::from_str::<EventRef<'_>>(&line);
        let event = serde_json::from_str::<LogEvent<'_>>(&line);
        // What stands in `enriched` is not looked at: the line is no event either way.
        let is_enriched = event.as_ref().is_ok_and(|event| event.enriched.is_some());
        prop_assert_eq!(known.is_ok(), event.is_ok() && (!is_enriched || known.is_ok()), "{}", line);
        if let (Ok(known), Ok(event)) = (known, event) {
            prop_assert_eq!((&known.id, &known.source, &known.kind), (&event.id, &event.source, &event.kind));
            prop_assert_eq!(known.time, event.time);
            let subject = event.subject_text();
            prop_assert_eq!(known.subject.as_deref(), subject.as_deref());
            prop_assert_eq!(known.clientip.as_deref(), event.client_address());
            prop_assert_eq!(known.traceparent.as_deref(), event.trace_context());
            prop_assert_eq!(known.backfill.is_some(), event.is_history);
            prop_assert_eq!(known.unread.is_some(), event.is_partly_unread);
            prop_assert_eq!(known.data.map(RawValue::get), event.data.map(RawValue::get));
            prop_assert_eq!(known.enriched.is_some(), event.enriched.is_some());
        }
    }
}

#[test]
fn what_has_no_escapes_is_borrowed() {
    let line = r#"{"id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z","subject":"c","clientip":"a\nb"}"#;
    let event: LogEvent<'_> = serde_json::from_str(line).expect("an event");
    assert!(matches!(event.subject, Some(JsonText(Cow::Borrowed("c")))));
    assert_eq!(event.client_address(), Some("a\nb"));
}
