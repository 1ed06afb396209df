use serde_json::json;

use super::*;
use crate::intake::tree::Tree;

fn remarks(schema: &Value, data: &Value) -> Vec<String> {
    let of_value = told(schema, data);
    let (mut tree, text) = (Tree::default(), data.to_string());
    assert_eq!(
        told(schema, tree.read(text.as_bytes(), 64).expect("plain").json),
        of_value,
        "a tree is looked at alike"
    );
    of_value
}

fn told<'d>(schema: &Value, data: impl EventData<'d>) -> Vec<String> {
    let mut found = Vec::new();
    KnownMembers::of(schema).remark(data, &mut String::new(), &mut |pointer, _| {
        found.push(pointer.to_owned());
        found.len() < 3
    });
    found
}

#[test]
fn a_member_is_known_wherever_the_schema_names_it() {
    let schema = json!({
        "properties": {
            "id": {},
            "lines": {"items": {"$ref": "#/$defs/line"}},
            "any": {"type": "object"},
            "map": {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        },
        "anyOf": [{"properties": {"sku": {}}}, {"required": ["code"], "properties": {"code": {}}}],
        "if": {"properties": {"kind": {"const": 1}}},
        "then": {"properties": {"more": {"properties": {"deep": {}}}}},
        "$defs": {"line": {"properties": {"price": {}}}},
    });
    let right = json!({
        "id": 1, "sku": 2, "code": 3, "kind": 1, "country": "DE", "lines": [{"price": 1}, 5], "any": {"thing": {"x": 1}},
        "map": {"a": 1, "b": 2}, "more": {"deep": {"anything": 1}},
    });
    assert_eq!(remarks(&schema, &right), [""; 0]);
    let wrong = json!({"lines": [{"price": 1}, {"prise": 1}], "a/b": 1, "more": {"x": 1}, "id": 1, "ID": 1});
    // The fourth is not asked for.
    assert_eq!(remarks(&schema, &wrong), ["/lines/1/prise", "/a~1b", "/more/x"]);
}

#[test]
fn a_schema_that_names_no_member_knows_any() {
    for schema in [json!({"type": "object"}), json!(true), json!({"$ref": "urn:elsewhere"})] {
        assert_eq!(remarks(&schema, &json!({"a": {"b": 1}})), [""; 0], "{schema}");
    }
    let endless = json!({"properties": {"child": {"$ref": "#"}}});
    assert_eq!(remarks(&endless, &json!({"child": {"chid": 1}})), ["/child/chid"]);
}

#[test]
fn a_member_that_cannot_be_read_is_told_with_its_value() {
    let schema = json!({"properties": {
        "fee": {"x-amount": true}, "free": {"x-amount": false},
        "lines": {"items": {"properties": {"discount": {"x-amount": true}}}},
    }});
    let right = json!({"fee": "1.50", "free": "yes", "currency": "eur", "lines": [{"discount": 1}, {}]});
    assert_eq!(remarks(&schema, &right), [""; 0]);
    let wrong = json!({"fee": {"a": 1}, "currency": "€", "lines": [{"discount": 1}, {"discount": "10%"}]});
    let mut told = Vec::new();
    KnownMembers::of(&schema).remark(&wrong, &mut String::new(), &mut |pointer, remark| {
        told.push(format!("{pointer} {}", remark.detail("fee.paid")));
        true
    });
    told.sort();
    assert_eq!(
        told,
        [
            "/currency \"€\" is no ISO 4217 code, such as EUR; the event's amounts count under no currency",
            "/fee {\"a\":1} cannot be read as an amount, such as 9.99; it, and the lines that need it, do not count",
            "/lines/1/discount \"10%\" cannot be read as an amount, such as 9.99; it, and the lines that need it, do not count",
        ]
    );
    let long = Value::from("x".repeat(1000));
    let told = MemberRemark::Unread(UnreadMember { read_as: ReadAs::Amount, value: long }).detail("fee.paid");
    assert!(told.starts_with("\"xxx") && told.contains("x… cannot be read") && told.len() < 150, "{told}");
}
