use serde_json::json;

use super::*;

fn unknown(schema: &Value, data: &Value) -> Vec<String> {
    let mut found = Vec::new();
    KnownMembers::of(schema).unknown(data, &mut String::new(), &mut |pointer, _| {
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
    assert_eq!(unknown(&schema, &right), [""; 0]);
    let wrong = json!({"lines": [{"price": 1}, {"prise": 1}], "a/b": 1, "more": {"x": 1}, "id": 1, "ID": 1});
    // The fourth is not asked for.
    assert_eq!(unknown(&schema, &wrong), ["/lines/1/prise", "/a~1b", "/more/x"]);
}

#[test]
fn a_schema_that_names_no_member_knows_any() {
    for schema in [json!({"type": "object"}), json!(true), json!({"$ref": "urn:elsewhere"})] {
        assert_eq!(unknown(&schema, &json!({"a": {"b": 1}})), [""; 0], "{schema}");
    }
    let endless = json!({"properties": {"child": {"$ref": "#"}}});
    assert_eq!(unknown(&endless, &json!({"child": {"chid": 1}})), ["/child/chid"]);
}
