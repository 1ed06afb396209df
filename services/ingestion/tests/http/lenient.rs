//! What can mean one thing alone is taken in, however it is spelt.

use serde_json::{Value, json};

use crate::support::{Service, answer};

fn event(id: &str, kind: &str, data: Value) -> Value {
    json!({"id": id, "source": "shop", "type": kind, "subject": "c", "data": data})
}

#[tokio::test]
async fn the_noise_of_floats_costs_no_order() {
    let service = Service::start().await;
    let order = |id: &str, price: &str| {
        format!(
            r#"{{"type":"order.placed","source":"shop","id":"{id}","data":{{"order_id":"{id}","items":[{{"product_id":"p","quantity":1,"unit_price":{price}}}]}}}}"#
        )
    };
    let view = r#"{"type":"product.viewed","source":"shop","id":"view","data":{"product_id":"p","weight":0.10000000000000001}}"#;
    let orders = [
        order("js", "0.30000000000000004"),
        order("php", "29.949999999999999"),
        order("text", r#""29.949999999999999""#),
        order("single", "29.950000762939453"),
    ];
    let lines = [&orders[..], &[view.to_owned()]].concat().join("\n");
    service.send("application/x-ndjson", lines).await.accepted(5);
    // What is no noise is a price too: of a total it is said that it was rounded.
    service.send("application/json", order("third", "33.333333333333336")).await.accepted(1);
    service.stop().await;
}

#[tokio::test]
async fn numbers_identify_and_a_product_may_have_its_sku_alone() {
    let service = Service::start().await;
    let item = |name: &str, value: Value| json!({name: value, "quantity": 1, "unit_price": 1});
    let items = json!([item("product_id", json!(12)), item("sku", json!("s-1"))]);
    let mut order = event("o", "order.placed", json!({"order_id": 1001, "currency": "eur", "items": items}));
    (order["id"], order["subject"]) = (json!(7), json!(42));
    let view = event("v", "product.viewed", json!({"sku": "s-1"}));
    let refund = event("r", "order.refunded", json!({"order_id": 1001, "amount": 1, "currency": "eur"}));
    service.send("application/json", json!([order, view, refund]).to_string()).await.accepted(3);
    let log = service.log().await;
    let logged = log.iter().find(|event| event["id"] == "7").expect("in the log");
    assert_eq!(logged["subject"], "42");
    assert_eq!(logged["data"], order["data"], "the data is as it was sent");
    service.stop().await;
}

#[tokio::test]
async fn an_address_is_made_out_or_left_out() {
    let service = Service::start().await;
    for (id, address) in [
        ("port", json!("203.0.113.1:8080")),
        ("list", json!("203.0.113.1, 10.0.0.1")),
        ("nonsense", json!("unknown")),
        ("number", json!(3)),
    ] {
        let mut view = event(id, "product.viewed", json!({"product_id": "p"}));
        view["clientip"] = address;
        service.send("application/json", view.to_string()).await.accepted(1);
    }
    let call = json!({"event": "Product Viewed", "messageId": "call", "properties": {"product_id": "p"},
        "context": {"ip": "[2001:db8::1]:443"}});
    answer(service.post("/v1/track").json(&call)).await.accepted(1);
    for event in service.log().await {
        let told = (event["clientip"].as_str(), event["unread"].as_str());
        let expected = match event["id"].as_str() {
            Some("port" | "list") => (Some("203.0.113.1"), None),
            Some("call") => (Some("2001:db8::1"), None),
            _ => (None, Some("clientip")),
        };
        assert_eq!(told, expected, "{event}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_error_points_at_what_was_sent() {
    let service = Service::start().await;
    let products = json!([{"product_id": "p", "price": 1}, {"sku": "s", "price": "a lot"}]);
    let call = json!({"event": "Order Completed", "messageId": "m", "userId": true,
        "properties": {"order_id": "o", "products": products}});
    let place = async |call: &Value| {
        let refused = answer(service.post("/v1/track").json(call)).await;
        refused.body["errors"][0]["pointer"].as_str().map(str::to_owned)
    };
    assert_eq!(place(&call).await.as_deref(), Some("/userId"));
    let mut mended = call.clone();
    mended["userId"] = json!("c");
    assert_eq!(place(&mended).await.as_deref(), Some("/properties/products/1/price"));
    let letters = service.dead_letters().await;
    assert_eq!(letters[1].pointer.as_deref(), Some("/properties/products/1/price"));
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_of_and_taken_in() {
    let service = Service::start().await;
    let item = json!({"product_id": "p", "quantity": 1, "unit_price": 1, "discount": "10%"});
    let order = |id: &str, more: Value| {
        let mut data = json!({"order_id": id, "items": [item]});
        data.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        event(id, "order.placed", data)
    };
    let sent = [
        order("1", json!({"currency": "€", "tax": "8.1%", "shipping": "free", "discount": "1.50"})),
        order("2", json!({"currency": "XXXX"})),
        event("3", "product.viewed", json!({"product_id": "p", "currency": "dollars"})),
        event("4", "order.refunded", json!({"order_id": "1", "amount": 1, "currency": "eur", "tax": "all"})),
    ];
    let answer = service.send("application/json", json!(sent).to_string()).await;
    answer.accepted(4);
    let hints = answer.body["hints"].as_array().expect("hints");
    let mut told: Vec<_> = hints.iter().map(|hint| (hint["index"].as_u64(), hint["pointer"].as_str())).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (Some(0), Some("/data/currency")),
            (Some(0), Some("/data/items/0/discount")),
            (Some(0), Some("/data/shipping")),
            (Some(0), Some("/data/tax")),
            (Some(2), Some("/data/currency")),
            (Some(3), Some("/data/tax")),
        ]
    );
    let currency = hints.iter().find(|hint| hint["pointer"] == "/data/currency").expect("is told");
    let detail = "\"€\" is no ISO 4217 code, such as EUR; the event's amounts count under no currency";
    assert_eq!(currency["detail"], detail);
    service.stop().await;
}

#[tokio::test]
async fn a_member_that_the_schema_does_not_know_is_told_of_and_taken_in() {
    let service = Service::start().await;
    let order = |id: &str| {
        let items = json!([{"product_id": "p", "quantity": 1, "unit_price": 1, "prise": 2}]);
        event(
            id,
            "order.placed",
            json!({"order_id": id, "items": items, "session_id": 7, "country": "DE", "Currency": "EUR"}),
        )
    };
    let view = event("v", "product.viewed", json!({"product_id": "p"}));
    let answer = service.send("application/json", json!([view, order("1"), order("2")]).to_string()).await;
    answer.accepted(3);
    let hints = answer.body["hints"].as_array().expect("hints");
    let told: Vec<_> = hints.iter().map(|hint| (hint["index"].as_u64(), hint["pointer"].as_str())).collect();
    // Each once, of the first that has it.
    assert_eq!(told, [(Some(1), Some("/data/items/0/prise")), (Some(1), Some("/data/Currency"))]);
    assert_eq!(
        hints[0]["detail"],
        "the schema of order.placed does not know this member; it knows discount, product_id, quantity, recommendation, sku, unit_price"
    );
    assert_eq!(service.send("application/json", view.to_string()).await.body.get("hints"), None);
    let many: serde_json::Map<String, Value> = (0..50).map(|n| (format!("m{n}"), json!(n))).collect();
    let many = many.into_iter().chain([("product_id".to_owned(), json!("p"))]).collect();
    let many = event("m", "product.viewed", Value::Object(many));
    let answer = service.send("application/json", many.to_string()).await;
    assert_eq!(answer.body["hints"].as_array().map(Vec::len), Some(20));
    // Of what is translated from Segment's calls there would be something to say of each.
    let call =
        json!({"type": "track", "event": "Product Viewed", "userId": "c", "properties": {"product_id": "p", "x": 1}});
    let answer = crate::support::answer(service.post("/v1/track").json(&call)).await;
    answer.accepted(1);
    assert_eq!(answer.body.get("hints"), None);
    service.stop().await;
}
