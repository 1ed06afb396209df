use serde_json::json;

use super::*;

fn read(kind: RecordKind, json: Value) -> Result<Record, Error> {
    Record::read(kind, None, serde_json::from_value(json).expect("an object"))
}

#[test]
fn values_are_kept_as_text() {
    let record = read(
        RecordKind::Product,
        json!({"id": 7, "pages": 320, "new": true, "none": null, "valid_from": "2026-01-01T00:00:00Z"}),
    )
    .expect("reads");
    assert_eq!(record.id, "7");
    assert_eq!(record.valid_from.map(|t| t.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(
        record.attributes,
        RecordAttributes::from([("pages".into(), "320".into()), ("new".into(), "true".into())])
    );
}

#[test]
fn a_broken_rule_is_named_with_its_place() {
    for (kind, json, place) in [
        (RecordKind::Product, json!({"category": "Books"}), "/id"),
        (RecordKind::Product, json!({"id": "x\n"}), "/id"),
        (RecordKind::Product, json!({"id": "x", "a/b": []}), "/a~1b"),
        (RecordKind::Product, json!({"id": "x", "": "v"}), "/"),
        (RecordKind::Product, json!({"id": "x", "long": "v".repeat(257)}), "/long"),
        (RecordKind::Product, json!({"id": "x", "valid_from": "soon"}), "/valid_from"),
        (RecordKind::Country, json!({"id": "Germany", "region": "Europe"}), "/id"),
        (RecordKind::Country, json!({"id": "de"}), "/region"),
        (RecordKind::Rate, json!({"id": "usd", "rate": "0.92"}), "/id"),
        (RecordKind::Rate, json!({"id": "dollar", "rate": "0.92"}), "/id"),
        (RecordKind::Rate, json!({"id": "USD"}), "/rate"),
        (RecordKind::Rate, json!({"id": "USD", "rate": 0}), "/rate"),
        (RecordKind::Rate, json!({"id": "USD", "rate": "-1"}), "/rate"),
        (RecordKind::Rate, json!({"id": "USD", "rate": "1,2"}), "/rate"),
    ] {
        match read(kind, json.clone()) {
            Err(Error::Record { pointer, .. }) => assert_eq!(pointer, place, "{json}"),
            other => panic!("{json}: {other:?}"),
        }
    }
    let many = (0..33).map(|n| (n.to_string(), Value::from("v"))).collect();
    let error = Record::read(RecordKind::Product, Some("x".into()), many).expect_err("is refused").to_string();
    assert_eq!(error, ": more than 32 attributes or 4096 bytes");
}

#[test]
fn a_rate_is_a_decimal_as_it_is_written() {
    for rate in [json!("0.0061349693251533742"), json!(0.92), json!("1")] {
        let written = rate.as_str().map_or_else(|| rate.to_string(), String::from);
        let record = read(RecordKind::Rate, json!({"id": "JPY", "rate": rate})).expect("reads");
        assert_eq!(record.attributes["rate"], written);
    }
}
