//! Dead letters that are sent again.

mod support;

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{DEADLINE, Service, stored, view};
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_events::{Body, DeadLetter, Durable, Events, RawBatch, Redrive, bodies};
use tidemill_testkit::{eventually, try_eventually};
use uuid::Uuid;

async fn bus(service: &Service) -> Bus {
    let config = tidemill_bus::Config { url: service.nats.url(), ..tidemill_bus::Config::default() };
    Bus::connect(&config, "test").await.expect("connects")
}

/// An order for a dead letter, as reporting sends it.
fn order(id: u128, letter: u64, source: &str, body: impl Into<Vec<u8>>) -> Redrive {
    Redrive {
        id: Uuid::from_u128(id),
        letter,
        by: "anna".into(),
        at: Timestamp::EPOCH,
        source: source.into(),
        event_id: None,
        first_failed_at: Timestamp::saturating_from_millis(1000),
        trace: None,
        several: false,
        body: body.into().into(),
    }
}

/// Gives orders, and waits until each is answered for.
async fn redrive(bus: &Bus, orders: &[Redrive]) {
    for order in orders {
        bus.publish(order).await.expect("stored");
    }
    try_eventually("every order is settled", DEADLINE, || async move {
        match bus.lag(Durable::IngestionRedrive).await {
            Ok(0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn a_mended_event_goes_into_the_log_and_a_broken_one_back() {
    let service = Service::start().await;
    let bus = bus(&service).await;
    let broken = json!({"id": "e-1", "source": "shop", "type": "order.teleported", "data": {}});
    service.send("application/json", broken.to_string()).await.problem(422, "unknown_type");
    let letters = service.dead_letters().await;
    assert_eq!((letters.len(), letters[0].redriven_from), (1, None));

    let mut mended = view("e-1");
    mended["enriched"] = json!({"country": "FR"});
    let call = json!({"event": "Product Viewed", "messageId": "m-1", "properties": {"product_id": "p"}});
    let nameless = json!({"type": "product.viewed", "data": {"product_id": "p"}});
    let orders = [
        order(1, 1, "shop", mended.to_string()),
        order(2, 2, "unknown", call.to_string()),
        order(3, 3, "till", nameless.to_string()),
        order(4, 4, "shop", broken.to_string()),
        order(5, 5, "unknown", "{\"cut"),
    ];
    redrive(&bus, &orders).await;
    let batches: Vec<RawBatch> = stored(&service.nats).await;
    let mut redriven: Vec<u64> = batches.iter().flat_map(|batch| batch.redriven.clone()).collect();
    redriven.sort_unstable();
    assert_eq!(redriven, [1, 2, 3]);
    let log = service.log().await;
    let of = |id: &str| log.iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{id} in {log:?}"));
    let mut again = view("e-1");
    again["backfill"] = json!("redrive-1");
    again["redriven"] = json!("00000000-0000-0000-0000-000000000001");
    assert_eq!(*of("e-1"), again, "what was added to it is gone, and it is history now");
    assert_eq!(of("m-1")["type"], "product.viewed");
    assert_eq!(
        (&of("redrive-3")["source"], &of("redrive-3")["time"]),
        (&json!("till"), &json!("1970-01-01T00:00:01Z"))
    );

    let mut letters: Vec<DeadLetter> = service.dead_letters().await;
    letters.sort_by_key(|letter| letter.redriven_from);
    let told: Vec<_> = letters.iter().map(|l| (l.redriven_from, l.code.as_str(), l.event_id.as_deref())).collect();
    assert_eq!(
        told,
        [
            (None, "unknown_type", Some("e-1")),
            (Some(4), "unknown_type", Some("e-1")),
            (Some(5), "malformed_json", Some("redrive-5"))
        ]
    );
    assert_eq!((letters[2].body.as_ref(), letters[2].service.as_str()), (&b"{\"cut"[..], "ingestion"));
    let metrics = service.metrics().await;
    assert!(metrics.contains("tidemill_ingestion_redriven_total{outcome=\"accepted\"} 3"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn an_order_that_comes_twice_is_the_same_event() {
    let service = Service::start().await;
    let bus = bus(&service).await;
    let nameless = json!({"type": "product.viewed", "data": {"product_id": "p"}}).to_string();
    // Two orders for one letter; and one that fails, then mended: the second
    // letter knows the name that the first one was given.
    redrive(&bus, &[order(1, 7, "till", nameless.clone()), order(2, 7, "till", nameless.clone())]).await;
    let broken = json!({"type": "product.viewed", "data": {}}).to_string();
    redrive(&bus, &[order(3, 8, "till", broken)]).await;
    let failed = service.dead_letters().await.remove(0);
    let again = Redrive { event_id: failed.event_id, source: failed.source, ..order(4, 9, "", nameless) };
    redrive(&bus, &[again]).await;
    let log: Vec<Value> = service.log().await;
    let names: Vec<_> = log.iter().map(|event| (event["source"].as_str(), event["id"].as_str())).collect();
    let of = |id| (Some("till"), Some(id));
    assert_eq!(names, [of("redrive-7"), of("redrive-7"), of("redrive-8")]);
    service.stop().await;
}

#[tokio::test]
async fn orders_wait_for_the_log_and_are_kept_over_a_restart() {
    let mut service = Service::with(|config| config.publish.deadline_ms = 500).await;
    let bus = bus(&service).await;
    let orders: Vec<_> = (1..=100).map(|n| order(n, n as u64, "shop", view(&format!("e-{n}")).to_string())).collect();
    let (before, after) = orders.split_at(50);
    for order in before {
        bus.publish(order).await.expect("stored");
    }
    service.nats.server.kill().await;
    service.nats.server.restart().await.expect("restarts");
    for order in after {
        let complain = |error: &tidemill_bus::Error| eprintln!("{error}");
        bus.publish_until_stored(order, complain).await.expect("stored");
    }
    eventually("every event is in the log", DEADLINE, || async {
        let log = service.log().await;
        let ids: std::collections::BTreeSet<_> = log.iter().filter_map(|event| event["id"].as_str()).collect();
        (ids.len() == 100).then_some(())
    })
    .await;
    redrive(&bus, &[]).await;
    assert!(service.dead_letters().await.is_empty(), "what is away fills no dead letters");
    let answer = service.send("application/json", view("later").to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    service.stop().await;
}

/// What becomes of an order when its replica dies before it has said that it is
/// done: it is done again.
#[tokio::test]
async fn every_event_of_a_letter_is_sent_again_under_a_name_that_stays() {
    let service = Service::start().await;
    let bus = bus(&service).await;
    let body = |count, text: &str| Body { count, bytes: text.to_owned().into() };
    let nameless = json!({"type": "product.viewed", "data": {"product_id": "p"}}).to_string();
    let broken = json!({"type": "product.viewed", "data": {}}).to_string();
    let list = bodies::encode(&[body(2, &nameless), body(3, &broken), body(1, &view("mine").to_string())]);
    let several = |id| Redrive { several: true, ..order(id, 7, "till", list.as_ref().expect("encodes").to_vec()) };
    redrive(&bus, &[several(1)]).await;
    let log = service.log().await;
    // An order may be done twice, by whoever takes the orders over.
    let ids = |log: &[Value]| -> BTreeSet<String> {
        log.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    };
    let once = ids(&log);
    assert_eq!(once, ["mine", "redrive-7-0", "redrive-7-1"].map(str::to_owned).into());
    let letters = service.dead_letters().await;
    let told: Vec<_> = letters.iter().map(|l| (l.redriven_from, l.events, l.event_id.as_deref())).collect();
    assert_eq!(told, [(Some(7), Events::Several(3), Some("redrive-7-2"))]);
    assert_eq!(letters[0].bodies().expect("a list"), [body(3, &broken)]);

    // Another order for the same letter: the same events, which are duplicates.
    redrive(&bus, &[several(2)]).await;
    assert_eq!(ids(&service.log().await), once);
    // A list that a person has broken fails again as it is.
    redrive(&bus, &[Redrive { several: true, ..order(3, 8, "till", "[{}]") }]).await;
    let last = service.dead_letters().await.pop().expect("a letter");
    assert_eq!((last.redriven_from, last.events, &last.body[..]), (Some(8), Events::One, &b"[{}]"[..]));
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_is_rejected_whole_is_one_letter() {
    let service = Service::with(|config| config.publish.deadline_ms = 20_000).await;
    let line = |n: usize| format!("{{\"id\":\"{n}\",\"source\":\"shop\",\"type\":\"none\"}}");
    let lines: String = (0..2000).map(|n| line(n) + "\n").collect();
    let answer = service.send("application/x-ndjson", lines).await;
    answer.problem(422, "all_rejected");
    let letters = service.dead_letters().await;
    assert_eq!((letters.len(), letters[0].events), (1, Events::Several(2000)));
    let bodies = letters[0].bodies().expect("a list");
    assert!(bodies.iter().map(|body| String::from_utf8_lossy(&body.bytes)).eq((0..2000).map(line)));
    service.stop().await;
}
