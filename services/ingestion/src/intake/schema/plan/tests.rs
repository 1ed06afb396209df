use proptest::prelude::*;
use serde_json::{Value, json};

use super::{SchemaPlan, literal::Unsure};
use crate::intake::{schema::SHOP, tree::Tree};

/// The verdict of the validator that every event meets which a plan does not accept.
fn is_valid(schema: &Value, data: &Value) -> bool {
    crate::intake::schema::validator(schema).expect("a schema").is_valid(data)
}

fn verdict(schema: &Value, data: &Value) -> Result<bool, Unsure> {
    let text = data.to_string();
    let mut tree = Tree::default();
    SchemaPlan::of(schema).expect("a plan").holds(tree.read(text.as_bytes(), 64).expect("plain").json)
}

#[test]
fn every_built_in_schema_has_a_plan() {
    for (name, text) in SHOP {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        assert!(SchemaPlan::of(&schema).is_some(), "{name}");
    }
}

#[test]
fn a_schema_with_any_other_keyword_has_none() {
    for schema in [
        json!({"patternProperties": {"^a": true}}),
        json!({"properties": {"a": {"dependentRequired": {"a": ["b"]}}}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
        json!({"properties": {"a": {"$id": "urn:a", "$ref": "#/$defs/b"}}}),
        json!({"$ref": "#anchor"}),
        json!({"properties": {"child": {"$ref": "#"}}}),
        json!({"enum": [1.5]}),
        json!({"items": [true]}),
        json!({"unit": "kg"}),
    ] {
        assert!(SchemaPlan::of(&schema).is_none(), "{schema}");
    }
}

#[test]
fn what_a_plan_cannot_tell_it_says() {
    for (schema, data) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"const": 1}), json!(1.0)),
        (json!({"minimum": 1}), json!(999_999_999_999_999_999_i64)),
        (json!({"not": {"type": "integer"}}), json!(1.5)),
    ] {
        assert!(verdict(&schema, &data).is_err(), "{schema} {data}");
    }
}

fn leaf_schema() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        proptest::sample::subsequence(vec!["string", "integer", "number", "null", "boolean", "array", "object"], 1..4)
            .prop_map(|types| json!({ "type": types })),
        (0..4, 0..5).prop_map(|(least, more)| json!({"minLength": least, "maxLength": least + more})),
        (0..3).prop_map(|most| json!({"maxItems": most, "title": "few"})),
        (-3..3).prop_map(|least| json!({"minimum": least, "exclusiveMaximum": 2.5})),
        (-3..3).prop_map(|most| json!({"maximum": most, "exclusiveMinimum": -2})),
        Just(json!({"enum": ["a", "é", 1, null, true]})),
        Just(json!({"const": "ab"})),
        Just(json!({"pattern": "^a\\w*$"})),
        Just(json!({"decimal": {"minimum": "0"}})),
        Just(json!({"decimal": {"exclusiveMinimum": "1.5"}, "format": "date-time"})),
        Just(json!({"$ref": "#/$defs/short"})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let nested = leaf_schema().prop_recursive(3, 16, 4, |inner| {
        let members = proptest::collection::btree_map("[ab]|ab", inner.clone(), 0..3);
        let several = || proptest::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (members.clone(), proptest::collection::vec("[ab]", 0..2)).prop_map(|(members, mut required)| {
                required.dedup();
                json!({"properties": members, "required": required})
            }),
            (members, inner.clone())
                .prop_map(|(members, others)| json!({"properties": members, "additionalProperties": others})),
            inner.clone().prop_map(|items| json!({"items": items, "minItems": 1})),
            several().prop_map(|all| json!({ "allOf": all })),
            several().prop_map(|any| json!({ "anyOf": any })),
            several().prop_map(|one| json!({ "oneOf": one })),
            inner.clone().prop_map(|not| json!({ "not": not })),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(condition, then, other)| json!({"if": condition, "then": then, "else": other})),
        ]
    });
    nested.prop_map(|schema| json!({"allOf": [schema], "$defs": {"short": {"maxLength": 1}}}))
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4..4).prop_map(Value::from),
        (-40..40).prop_map(|tenths| json!(f64::from(tenths) / 10.0)),
        proptest::sample::select(vec![
            "", "a", "ab", "abc", "é", "a\"b", "é😀", "1.50", "2", "-1", "1e3", " 1", "true"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abc]|ab", inner, 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

/// An event's data that is right, with something of it changed.
fn changed() -> impl Strategy<Value = (usize, Value)> {
    let right = json!({
        "product_id": "p", "sku": "s", "session_id": 3, "quantity": 2, "unit_price": 9.5, "currency": "EUR",
        "order_id": "o", "amount": "1.50", "invoice": 1, "stock_code": "c", "country": "France", "group_id": "g",
        "previous_id": "a", "items": [{"product_id": 1, "quantity": "1", "unit_price": 0}, {"sku": "t", "quantity": 3,
        "unit_price": "0.1"}],
    });
    let names: Vec<String> = right.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let change = (proptest::sample::select(names), proptest::option::of(data()), any::<bool>());
    (0..SHOP.len(), proptest::collection::vec(change, 0..3)).prop_map(move |(schema, changes)| {
        let mut data = right.clone();
        for (name, value, in_item) in changes {
            let place = if in_item { "/items/0" } else { "" };
            let Some(members) = data.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
            match value {
                Some(value) => drop(members.insert(name, value)),
                None => drop(members.shift_remove(&name)),
            }
        }
        (schema, data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_plan_judges_as_the_validator_does(schema in schema(), data in data()) {
        if let Ok(holds) = verdict(&schema, &data) {
            prop_assert_eq!(holds, is_valid(&schema, &data), "{} {}", schema, data);
        }
    }

    #[test]
    fn the_plans_of_the_shop_judge_as_the_validators_do((at, data) in changed()) {
        let schema: Value = serde_json::from_str(SHOP[at].1).expect("JSON");
        if let Ok(holds) = verdict(&schema, &data) {
            prop_assert_eq!(holds, is_valid(&schema, &data), "{} {}", SHOP[at].0, data);
        }
    }
}
