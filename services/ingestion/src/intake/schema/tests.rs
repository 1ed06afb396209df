use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::intake::{
    envelope::Envelope,
    normalise::{Defaults, normalise},
};

fn event(kind: &str, data: Option<Value>) -> NormalisedEvent {
    let now = tidemill_domain::Timestamp::EPOCH;
    let defaults = Defaults { now, new_id: || "1".into(), clientip: None, backfill: None, redriven: None };
    let Value::Object(attributes) = json!({"source": "shop", "type": kind}) else { panic!("an object") };
    normalise(Envelope { attributes, data }, &defaults).expect("valid attributes")
}

fn check(kind: &str, data: Value) -> Result<(), Vec<(String, String)>> {
    let schemas = Schemas::load(&SchemasConfig::default()).expect("the shop's schemas");
    match schemas.validate(event(kind, Some(data))) {
        Ok(_) => Ok(()),
        Err(Error::SchemaViolation(errors)) => Err(errors.into_iter().map(|e| (e.pointer, e.detail)).collect()),
        Err(other) => panic!("{other:?}"),
    }
}

fn pointers(kind: &str, data: Value) -> Vec<String> {
    check(kind, data).expect_err(kind).into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn what_schemas_mark_as_personal_is_known() {
    let folder = tidemill_testkit::tempdir();
    let schema = r#"{"properties": {"profile": {"items": {"properties": {
        "loyalty_no": {"x-personal": true}, "points": {"x-personal": false}}}}}}"#;
    std::fs::write(folder.path().join("profile.changed.json"), schema).expect("writes");
    let config = SchemasConfig { folder: Some(folder.path().into()), ..SchemasConfig::default() };
    let schemas = Schemas::load(&config).expect("right");
    assert_eq!(schemas.personal().more(), ["loyaltyno"]);
    assert!(schemas.personal().contains("email") && !schemas.personal().contains("points"));
    let many = (0..1000).map(|n| format!(r#""member{n}": {{"x-personal": true}}"#)).collect::<Vec<_>>().join(",");
    std::fs::write(folder.path().join("wide.json"), format!(r#"{{"properties": {{{many}}}}}"#)).expect("writes");
    let error = Schemas::load(&config).err().expect("a header has an end").to_string();
    assert!(error.contains("a dead letter has room for 4096"), "{error}");
}

#[test]
fn a_schema_that_marks_two_members_is_refused() {
    let folder = tidemill_testkit::tempdir();
    let schema = r#"{"properties": {"cart_id": {"x-partition-key": true}, "order_id": {"x-partition-key": true}}}"#;
    std::fs::write(folder.path().join("order.placed.json"), schema).expect("writes");
    let config = SchemasConfig { folder: Some(folder.path().into()), ..SchemasConfig::default() };
    let error = Schemas::load(&config).err().expect("is refused").to_string();
    let reason = "order.placed.json:1: x-partition-key marks two members, cart_id and order_id";
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_valid_event_says_what_decides_its_partition() {
    let schemas = Schemas::load(&SchemasConfig::default()).expect("the shop's schemas");
    let key = |kind: &str, data: Value| {
        let event = schemas.validate(event(kind, Some(data))).expect("is valid").into_event();
        event.partition_key().to_owned()
    };
    assert_eq!(key("order.cancelled", json!({"order_id": 1001})), "1001");
    assert_eq!(key("order.refunded", json!({"order_id": "o-1", "amount": 1})), "o-1");
    assert_eq!(key("product.viewed", json!({"product_id": "p", "order_id": "o-1"})), "shop");
}

#[test]
fn what_a_shop_sends_is_valid() {
    let item = json!({"product_id": "p-1", "quantity": 2, "unit_price": "9.99", "colour": "red"});
    for (kind, data) in [
        ("product.viewed", json!({"product_id": "p-1", "session_id": "s"})),
        ("cart.item_added", json!({"product_id": "p-1", "quantity": 1.5, "unit_price": 9.99, "currency": "EUR"})),
        ("order.placed", json!({"order_id": "o", "items": [item], "billing_country": "DE", "payment_method": "card"})),
        ("order.cancelled", json!({"order_id": "o", "reason": "late"})),
        ("order.refunded", json!({"order_id": "o", "amount": "0.10", "currency": "EUR"})),
        (
            "invoice.line",
            json!({"invoice": "C1", "stock_code": "D", "quantity": -80995, "unit_price": "-11062.06", "country": "EIRE"}),
        ),
        ("segment.page", json!({"url": "https://shop.example/", "referrer": null})),
        ("segment.screen", json!({})),
        ("segment.identify", json!({"email": "a@shop.example", "address": {"city": "Ghent"}})),
        ("segment.group", json!({"group_id": "g"})),
        ("segment.alias", json!({"previous_id": "a"})),
    ] {
        assert_eq!(check(kind, data), Ok(()), "{kind}");
    }
}

#[test]
fn what_can_mean_one_thing_alone_is_valid() {
    for (kind, data) in [
        ("product.viewed", json!({"product_id": 12, "session_id": 3})),
        ("product.viewed", json!({"sku": "s-1"})),
        ("product.viewed", json!({"sku": 12, "product_id": "", "session_id": null})),
        ("cart.item_added", json!({"sku": "s", "quantity": 1, "unit_price": 9.99, "currency": "eur"})),
        (
            "order.placed",
            json!({"order_id": 1001, "currency": null, "billing_country": "de", "shipping_country": "Germany",
            "payment_method": "", "items": [
                {"product_id": 12, "quantity": 1, "unit_price": 0.300_000_000_000_000_04},
                {"sku": "s", "quantity": "2", "unit_price": "29.949999999999999"},
            ]}),
        ),
        ("order.cancelled", json!({"order_id": 1001, "reason": ""})),
        ("order.refunded", json!({"order_id": 1001, "amount": 0.1, "currency": "usd"})),
        (
            "order.refunded",
            json!({"order_id": 1, "total": "-5", "items": [{"sku": "s", "unit_price": "2.5", "discount": 1},
                {"sku": "t", "unit_price": "", "price": null}]}),
        ),
        // What is no currency is told behind the door: no order is lost for it.
        ("order.refunded", json!({"order_id": 1001, "amount": 0.1, "currency": "\u{20ac}"})),
        (
            "invoice.line",
            json!({"invoice": 536_365, "stock_code": 85_123, "quantity": 6, "unit_price": 2.55, "customer_id": 17_850,
                "description": null, "country": "United Kingdom"}),
        ),
        (
            "invoice.line",
            json!({"invoice": "i", "stock_code": "s", "quantity": 6, "unit_price": 2.55, "customer_id": "",
                "country": "United Kingdom"}),
        ),
    ] {
        assert_eq!(check(kind, data), Ok(()), "{kind}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let item = |quantity: Value, price: Value| json!({"product_id": "p", "quantity": quantity, "unit_price": price});
    let order = |items: Value| json!({"order_id": "o", "items": items});
    let place = |items: Value| pointers("order.placed", order(items));
    assert_eq!(place(json!([item(json!(1), json!(true))])), ["/data/items/0/unit_price"]);
    assert_eq!(place(json!([item(json!(0), json!(-1))])), ["/data/items/0/quantity", "/data/items/0/unit_price"]);
    assert_eq!(place(json!([item(json!(1), json!("1e15"))])), ["/data/items/0/unit_price"]);
    assert_eq!(place(json!([item(json!(1e15), json!(" 1"))])), ["/data/items/0/quantity", "/data/items/0/unit_price"]);
    assert_eq!(place(json!([])), ["/data/items"]);
    assert_eq!(place(json!(vec![item(json!(1), json!(1)); 501])), ["/data/items"]);
    assert_eq!(pointers("order.placed", json!([])), ["/data"]);
    assert_eq!(pointers("product.viewed", json!({"product_id": ""})), ["/data/product_id"]);
    assert_eq!(pointers("product.viewed", json!({"product_id": 1.5})), ["/data/product_id"]);
    assert_eq!(pointers("product.viewed", json!({"product_id": true, "sku": "s"})), ["/data/product_id"]);
    assert_eq!(pointers("product.viewed", json!({"sku": null})), ["/data"]);
    assert_eq!(place(json!([{"quantity": 1, "unit_price": 1}])), ["/data/items/0"]);
    assert_eq!(
        pointers("order.refunded", json!({"order_id": "o", "amount": 1, "currency": ["EUR"]})),
        ["/data/currency"]
    );
    assert_eq!(pointers("cart.item_added", json!({"product_id": "p", "quantity": 1})), ["/data"]);
}

#[test]
fn an_answer_never_repeats_the_senders_values() {
    let secret = "x".repeat(1000);
    let data = json!({"order_id": 3, "items": secret, "currency": secret});
    for (_, detail) in check("order.placed", data).expect_err("wrong") {
        assert!(!detail.contains("xx"), "{detail}");
    }
    let many = json!({"order_id": "o", "items": vec![json!({}); 100]});
    assert_eq!(check("order.placed", many).expect_err("wrong").len(), MAX_ERRORS);
}

#[test]
fn a_type_without_a_schema_is_as_configured() {
    let schemas = |unknown| Schemas::load(&SchemasConfig { unknown, folder: None }).expect("schemas");
    let strange = || event("strange", None);
    let rejected = schemas(UnknownTypes::Reject).validate(strange()).expect_err("rejected");
    assert_eq!(rejected, Error::UnknownType("strange".into()));
    assert_eq!(schemas(UnknownTypes::Accept).validate(strange()).expect("accepted").into_event(), strange());
}

#[test]
fn data_is_required_where_there_is_a_schema() {
    let schemas = Schemas::load(&SchemasConfig::default()).expect("schemas");
    assert_eq!(schemas.validate(event("order.placed", None)).expect_err("no data").pointer(), Some("/data"));
}

#[test]
fn a_folder_adds_and_replaces() {
    let folder = tidemill_testkit::tempdir();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    write("sensor.read.json", r#"{"type": "object", "required": ["celsius"]}"#);
    write("product.viewed.json", "true");
    write("README.md", "not a schema");
    let config = SchemasConfig { folder: Some(folder.path().into()), unknown: UnknownTypes::Reject };
    let schemas = Schemas::load(&config).expect("schemas");
    let code =
        |kind, data| schemas.validate(event(kind, Some(data))).map(|_| ()).map_err(|error| error.code().as_str());
    assert_eq!(code("sensor.read", json!({"celsius": 3})), Ok(()));
    assert_eq!(code("sensor.read", json!({})), Err("schema_violation"));
    assert_eq!(code("product.viewed", json!({})), Ok(()));

    let registry = SchemaRegistry::from(schemas);
    let whole = crate::Config { schemas: config.clone(), ..crate::Config::default() };
    for (name, text, line) in [
        ("broken.json", "{\n\"type\"\n", 3),
        ("broken.json", "{\n  \"properties\": {\n    \"a\": {\"type\": \"objekt\"}\n  }\n}", 3),
        ("broken.json", r#"{"decimal": {"maximum": "3"}}"#, 1),
        ("bad name.json", "true", 1),
    ] {
        write(name, text);
        let before = registry.current();
        let error = registry.reload(&whole).expect_err(text).to_string();
        let place = format!("{}:{line}: ", folder.path().join(name).display());
        assert!(error.starts_with(&place), "{error}");
        assert!(Arc::ptr_eq(&before, &registry.current()), "all stay as they are");
        std::fs::remove_file(folder.path().join(name)).expect("removes");
    }
    write("sensor.read.json", "true");
    registry.reload(&whole).expect("right again");
    assert!(registry.current().validate(event("sensor.read", Some(json!({})))).is_ok());
}
