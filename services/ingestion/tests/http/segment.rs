//! Segment's calls, as its libraries send them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemill_domain::Timestamp;

use crate::support::{Service, answer, view};

/// What every page of a shop sends: who visits it, which page it is, and what is
/// done there.
fn calls() -> [(&'static str, Value); 6] {
    let call = |kind: &str, more: Value| {
        let mut call = json!({"type": kind, "messageId": kind, "userId": "c", "writeKey": "k", "context": {}});
        call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        call
    };
    [
        ("track", call("track", json!({"event": "Product Viewed", "properties": {"product_id": "p"}}))),
        ("page", call("page", json!({"name": "Home", "properties": {"url": "https://shop.example/", "search": ""}}))),
        ("screen", call("screen", json!({"name": "Start"}))),
        ("identify", call("identify", json!({"traits": {"plan": "x", "email": null}}))),
        ("group", call("group", json!({"groupId": "g", "traits": {}}))),
        ("alias", call("alias", json!({"previousId": "a"}))),
    ]
}

/// The types of the events in the log, by their ids.
async fn types(service: &Service) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    service.log().await.iter().map(|event| (text(&event["id"]), text(&event["type"]))).collect()
}

fn expected() -> BTreeMap<String, String> {
    let known = ["page", "screen", "identify", "group", "alias"].map(|kind| (kind.into(), format!("segment.{kind}")));
    [("track".to_owned(), "product.viewed".to_owned())].into_iter().chain(known).collect()
}

#[tokio::test]
async fn every_call_has_an_address_of_its_own() {
    let service = Service::start().await;
    for (kind, mut call) in calls() {
        // Libraries of servers leave the address to say which call it is.
        call.as_object_mut().expect("an object").remove("type");
        answer(service.post(&format!("/v1/{kind}")).json(&call)).await.accepted(1);
    }
    assert_eq!(types(&service).await, expected());
    service.stop().await;
}

#[tokio::test]
async fn the_library_in_the_browser_sends_to_first_letters_and_says_text() {
    let service = Service::start().await;
    for (kind, call) in calls() {
        let request = service.post(&format!("/v1/{}", &kind[..1])).header("content-type", "text/plain");
        answer(request.body(call.to_string())).await.accepted(1);
    }
    assert_eq!(types(&service).await, expected());
    let batch = json!({"batch": calls().map(|(_, call)| call), "sentAt": "2026-01-02T03:04:05Z"});
    let sent = answer(service.post("/v1/b").header("content-type", "text/plain").body(batch.to_string())).await;
    sent.accepted(6);
    assert_eq!(sent.body["duplicate"], 6);
    assert!(service.dead_letters().await.is_empty(), "what every page sends is no dead letter");
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_says_another_kind_than_its_address_is_what_it_says() {
    let service = Service::start().await;
    let [(_, track), ..] = calls();
    for path in ["/v1/p", "/v1/identify"] {
        answer(service.post(path).json(&track)).await.accepted(1);
    }
    assert_eq!(types(&service).await, BTreeMap::from([("track".into(), "product.viewed".into())]));
    service.stop().await;
}

#[tokio::test]
async fn a_device_whose_clock_is_wrong_has_its_events_today() {
    const MONTH: i64 = 30 * 24 * 3_600_000;
    let service = Service::start().await;
    let now = service.context.clock.now();
    let sale = |id: &str, behind: i64| {
        let time = now.plus_millis(-behind - 4000);
        json!({"type": "track", "event": "Product Viewed", "messageId": id, "timestamp": time,
            "properties": {"product_id": "p"}})
    };
    let send = async |path: &str, body: Value| answer(service.post(path).json(&body)).await.accepted(1);
    let sent_at = now.plus_millis(-MONTH);
    send("/v1/batch", json!({"sentAt": sent_at, "batch": [sale("slow", MONTH)]})).await;
    let mut single = sale("single", MONTH);
    single["sentAt"] = json!(sent_at);
    send("/v1/t", single).await;
    let mut event = view("event");
    event["time"] = json!(sent_at.plus_millis(-4000));
    event["sentat"] = json!(sent_at);
    service.send("application/json", event.to_string()).await.accepted(1);
    send("/v1/batch", json!({"sentAt": now, "batch": [sale("right", 0)]})).await;

    let until = service.context.clock.now();
    for event in service.log().await {
        let time = |name: &str| event[name].as_str().map(|text| text.parse::<Timestamp>().expect("a time"));
        let happened = time("time").expect("a time");
        assert!((now.plus_millis(-4000)..=until.plus_millis(-4000)).contains(&happened), "{event}");
        let told = (event["id"] != "right").then(|| sent_at.plus_millis(-4000));
        assert_eq!(time("devicetime"), told, "{event}");
        assert_eq!(event.get("sentat"), None);
    }
    service.stop().await;
}
