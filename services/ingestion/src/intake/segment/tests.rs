use serde_json::json;

use super::*;

fn mapped(call: Value) -> Result<(Value, Value), Error> {
    mapped_at(TRACK, call)
}

fn mapped_at(kind: &str, call: Value) -> Result<(Value, Value), Error> {
    let Value::Object(call) = call else { panic!("an object") };
    read(call, kind).map(|envelope| (envelope.attributes.into(), envelope.data.expect("data")))
}

#[test]
fn an_order_is_an_order() {
    let (attributes, data) = mapped(json!({
        "type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "c-1", "anonymousId": "a-1",
        "timestamp": "2026-01-02T03:04:05Z",
        "context": {"ip": "192.0.2.1", "library": {"name": "analytics.js"}},
        "properties": {"order_id": "o-1", "currency": "EUR", "products": [
            {"product_id": "p-1", "price": 9.5, "quantity": 2}, {"product_id": "p-2", "price": 1},
        ]},
    }))
    .expect("mapped");
    assert_eq!(
        attributes,
        json!({"id": "m-1", "source": "segment/analytics.js", "type": "order.placed",
            "time": "2026-01-02T03:04:05Z", "subject": "c-1", "clientip": "192.0.2.1"})
    );
    assert_eq!(
        data,
        json!({"order_id": "o-1", "currency": "EUR", "items": [
            {"product_id": "p-1", "unit_price": 9.5, "quantity": 2},
            {"product_id": "p-2", "unit_price": 1, "quantity": 1},
        ]})
    );
}

#[test]
fn names_have_types() {
    for (name, kind) in [
        ("Product Viewed", "product.viewed"),
        ("Product Added", "cart.item_added"),
        ("Order Cancelled", "order.cancelled"),
        ("Signed  Up", "signed.up"),
    ] {
        let (attributes, _) = mapped(json!({"event": name, "userId": "", "anonymousId": "a"})).expect(name);
        assert_eq!(attributes, json!({"source": "segment", "type": kind, "subject": "a"}));
    }
    let (refund, data) =
        mapped(json!({"event": "Order Refunded", "properties": {"order_id": "o", "total": "5.00"}})).expect("a refund");
    assert_eq!((&refund["type"], data), (&json!("order.refunded"), json!({"order_id": "o", "amount": "5.00"})));
    let (_, data) = mapped(
        json!({"event": "Order Refunded", "properties": {"order_id": "o", "products": [{"sku": "s", "price": 3}]}}),
    )
    .expect("a part of it");
    let item = json!({"sku": "s", "product_id": "s", "unit_price": 3, "quantity": 1});
    assert_eq!(data, json!({"order_id": "o", "items": [item]}));
    let whole = json!({"order_id": "o", "total": 9, "products": [{"sku": "s"}]});
    let (_, data) = mapped(json!({"event": "Order Cancelled", "properties": whole})).expect("a cancellation");
    assert_eq!(data, whole);
    assert_eq!(mapped(json!({"type": "identify"})).expect("a call").0["type"], "segment.identify");
}

#[test]
fn a_call_is_of_the_kind_that_it_says_or_else_of_its_addresss() {
    let kind = |kind, call| mapped_at(kind, call).expect(kind).0["type"].clone();
    assert_eq!(kind("page", json!({"userId": "c"})), "segment.page");
    assert_eq!(kind("page", json!({"type": null})), "segment.page");
    assert_eq!(kind("page", json!({"type": "identify"})), "segment.identify");
    assert_eq!(kind("page", json!({"type": "track", "event": "Product Viewed"})), "product.viewed");
}

#[test]
fn every_call_keeps_what_it_says() {
    let data = |kind, call| mapped_at(kind, call).expect(kind).1;
    let page = json!({"name": "Home", "category": null, "properties": {"url": "https://shop.example/", "name": "x"}});
    assert_eq!(data("page", page), json!({"url": "https://shop.example/", "name": "x"}));
    assert_eq!(
        data("screen", json!({"name": "Home", "category": "Start"})),
        json!({"name": "Home", "category": "Start"})
    );
    assert_eq!(data("identify", json!({"traits": {"plan": "x"}, "properties": 3})), json!({"plan": "x"}));
    let known = json!({"userId": 7, "anonymousId": "a", "traits": {"plan": "x", "user_id": "other"}});
    assert_eq!(data("identify", known), json!({"plan": "x", "user_id": 7}));
    assert_eq!(data("identify", json!({"userId": "", "anonymousId": "a", "writeKey": "k"})), json!({}));
    assert_eq!(data("page", json!({"userId": "c", "writeKey": "k"})), json!({}));
    let group = json!({"groupId": "g", "traits": {"employees": 3}});
    assert_eq!(data("group", group), json!({"employees": 3, "group_id": "g"}));
    assert_eq!(data("alias", json!({"previousId": "a", "userId": "c"})), json!({"previous_id": "a"}));
}

#[test]
fn a_product_is_known_by_its_sku_where_it_has_nothing_else() {
    let product = |properties: Value| {
        mapped(json!({"event": "Product Viewed", "properties": properties})).expect("mapped").1["product_id"].clone()
    };
    assert_eq!(product(json!({"sku": "s"})), "s");
    assert_eq!(product(json!({"sku": 7, "product_id": ""})), 7);
    assert_eq!(product(json!({"sku": "s", "product_id": "p"})), "p");
    assert_eq!(product(json!({"sku": ""})), Value::Null);
}

#[test]
fn an_error_names_what_was_sent() {
    let order = r#"{"event":"Order Completed","anonymousId":3,"originalTimestamp":"x","properties":{"products":[
        {"price":true,"sku":"s"},{"unit_price":true,"product_id":"p"}],"items":null}}"#;
    let place = |call: &str, kind, ours: &str| {
        let error = as_sent(call.as_bytes(), kind, Error::invalid(ours, "is wrong"));
        error.pointer().expect("one").to_owned()
    };
    for (ours, theirs) in [
        ("/id", "/messageId"),
        ("/time", "/originalTimestamp"),
        ("/subject", "/anonymousId"),
        ("/source", "/context/library/name"),
        ("/type", "/event"),
        ("/data", "/properties"),
        ("/data/items", "/properties/items"),
        ("/data/order_id", "/properties/order_id"),
        ("", ""),
    ] {
        assert_eq!(place(order, TRACK, ours), theirs, "{ours}");
    }
    let order = order.replace(",\"items\":null", "");
    for (ours, theirs) in [
        ("/data/items/0/unit_price", "/properties/products/0/price"),
        ("/data/items/0/product_id", "/properties/products/0/sku"),
        ("/data/items/1/unit_price", "/properties/products/1/unit_price"),
        ("/data/items/1/quantity", "/properties/products/1/quantity"),
    ] {
        assert_eq!(place(&order, TRACK, ours), theirs, "{ours}");
    }
    let refund = r#"{"event":"Order Refunded","userId":3,"timestamp":1,"properties":{"total":"x"}}"#;
    assert_eq!(place(refund, TRACK, "/data/amount"), "/properties/total");
    assert_eq!(
        (place(refund, TRACK, "/subject"), place(refund, TRACK, "/time")),
        ("/userId".into(), "/timestamp".into())
    );
    assert_eq!(place(r#"{"groupId":true,"traits":{}}"#, "group", "/data/group_id"), "/groupId");
    assert_eq!(place(r#"{"type":"identify","traits":{"a":1}}"#, TRACK, "/data/a"), "/traits/a");
    assert_eq!(place(r#"{"type":"a b"}"#, TRACK, "/type"), "/type");
}

#[test]
fn a_member_is_added_and_the_rest_stays_as_it_is() {
    let with = |call: &str| with_member(call.as_bytes(), "type", "page");
    assert_eq!(with(r#" {"a":1.50,"a":2 } "#).as_deref(), Some(r#"{"a":1.50,"a":2 ,"type":"page"}"#));
    assert_eq!(with("{ }").as_deref(), Some(r#"{ "type":"page"}"#));
    for kept in [r#"{"type":null}"#, "{", "3", "", "[{}]"] {
        assert_eq!(with(kept), None, "{kept}");
    }
}

#[test]
fn what_is_no_call_is_refused() {
    for (wrong, pointer) in [
        (json!({}), "/event"),
        (json!({"event": 3}), "/event"),
        (json!({"event": "a", "properties": []}), "/properties"),
        (json!({"type": 3}), "/type"),
    ] {
        assert_eq!(mapped(wrong).expect_err(pointer).pointer(), Some(pointer));
    }
    let traits = mapped_at("identify", json!({"traits": []})).expect_err("no object");
    assert_eq!(traits.pointer(), Some("/traits"));
}
