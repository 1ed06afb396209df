//! What refers to one order is in one partition, whoever sends it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemill_domain::PartitionCount;
use tidemill_events::{RawBatch, event::lines};

use crate::support::{Service, answer, stored, view};

fn order(id: &str, subject: Value, order_id: Value) -> Value {
    let items = json!([{"product_id": "p", "quantity": 1, "unit_price": 1}]);
    json!({"id": id, "source": "shop", "type": "order.placed", "subject": subject,
        "data": {"order_id": order_id, "items": items}})
}

/// The key and the partition of each event in the log.
async fn keys(service: &Service) -> BTreeMap<String, Option<String>> {
    let mut keys = BTreeMap::new();
    for batch in stored::<RawBatch>(&service.nats).await {
        for line in lines(&batch.lines) {
            let event: Value = serde_json::from_slice(line).expect("a line is JSON");
            let key = event["partitionkey"].as_str();
            let decides = key.or(event["subject"].as_str()).unwrap_or("shop");
            assert_eq!(batch.partition, PartitionCount::default().partition_of(decides), "{event}");
            keys.insert(event["id"].as_str().expect("an id").to_owned(), key.map(str::to_owned));
        }
    }
    keys
}

#[tokio::test]
async fn an_orders_id_decides_its_partition() {
    let service = Service::start().await;
    let long = "\u{1f30a}".repeat(100);
    let mut own = order("own", json!("c-1"), json!("1001"));
    own["partitionkey"] = json!("mine");
    let events = [
        order("anonymous", json!("anonymous-7"), json!("1001")),
        order("number", json!("c-1"), json!(1001)),
        order("nobody", Value::Null, json!("1001")),
        order("long", json!("c-1"), json!(long)),
        order("control", json!("c-1"), json!("a\tb")),
        own,
        view("view"),
    ];
    service.send("application/json", json!(events).to_string()).await.accepted(7);
    let binary = service.post("/v1/events").header("ce-specversion", "1.0").header("ce-id", "binary");
    let binary = binary.header("ce-source", "till").header("ce-type", "order.refunded");
    let binary = binary.header("content-type", "application/json").body(r#"{"order_id":1001,"amount":1}"#);
    answer(binary).await.accepted(1);
    let call = json!({"event": "Order Cancelled", "messageId": "call", "userId": "c-1",
        "properties": {"order_id": "1001"}});
    answer(service.post("/v1/track").json(&call)).await.accepted(1);

    let keys = keys(&service).await;
    // Whatever key its sender gave: what belongs together lies together.
    for id in ["anonymous", "number", "nobody", "own", "binary", "call"] {
        assert_eq!(keys[id].as_deref(), Some("1001"), "{id}");
    }
    assert_eq!(keys["view"], None);
    // What can be no attribute: 32 digits of a hash.
    for id in ["long", "control"] {
        assert_eq!(keys[id].as_ref().map(String::len), Some(32), "{id}");
    }
    service.stop().await;
}
