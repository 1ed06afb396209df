//! What the suite's own services tell comes through the door.

mod support;

use serde_json::{Value, json};
use support::{DEADLINE, Service, stored, view};
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_events::{DeadLetter, Durable, MeasuredEvent, RawBatch, Redrive};
use tidemill_testkit::try_eventually;
use uuid::Uuid;

const TIME: Timestamp = Timestamp::EPOCH;

async fn bus(service: &Service) -> Bus {
    let config = tidemill_bus::Config { url: service.nats.url(), ..tidemill_bus::Config::default() };
    Bus::connect(&config, "test").await.expect("connects")
}

fn check(service: &str, id: &str) -> MeasuredEvent {
    MeasuredEvent::new(service, id, "tidemill.check", TIME, &json!({"check": "a"})).expect("encodes")
}

/// Waits until all that was told, and sent again, is answered for.
async fn settled(bus: &Bus) {
    for durable in [Durable::IngestionMeasured, Durable::IngestionRedrive] {
        try_eventually("everything is settled", DEADLINE, || async move {
            match bus.lag(durable).await {
                Ok(0) => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
}

fn again(letter: u64, of: &DeadLetter, body: &Value) -> Redrive {
    Redrive {
        id: Uuid::from_u128(letter.into()),
        letter,
        by: "anna".into(),
        at: TIME,
        source: of.source.clone(),
        event_id: of.event_id.clone(),
        first_failed_at: of.first_failed_at,
        trace: None,
        several: false,
        body: body.to_string().into(),
    }
}

#[tokio::test]
async fn what_a_service_tells_is_judged_and_goes_into_the_log() {
    let service = Service::start().await;
    let bus = bus(&service).await;
    bus.publish(&check("lake", "0-7")).await.expect("stored");
    // Told once more: the server drops the copy.
    bus.publish(&check("lake", "0-7")).await.expect("stored");
    // Against its schema, and in another's name.
    let wrong = MeasuredEvent::new("lake", "0-8", "tidemill.check", TIME, &json!({})).expect("encodes");
    bus.publish(&wrong).await.expect("stored");
    bus.publish(&MeasuredEvent { service: "alert".into(), ..check("lake", "0-9") }).await.expect("stored");
    settled(&bus).await;

    let log = service.log().await;
    let expected = json!({
        "specversion": "1.0", "id": "0-7", "source": "tidemill/lake", "type": "tidemill.check",
        "time": "1970-01-01T00:00:00Z", "data": {"check": "a"},
    });
    assert_eq!(log, [expected]);
    let letters = service.dead_letters().await;
    let mut told: Vec<_> =
        letters.iter().map(|l| (l.id.as_str(), l.source.as_str(), l.code.as_str(), l.stream.as_deref())).collect();
    told.sort_unstable();
    let measured = Some("MEASURED");
    assert_eq!(
        told,
        [
            ("measured-alert-0-9", "tidemill/alert", "reserved_source", measured),
            ("measured-lake-0-8", "tidemill/lake", "schema_violation", measured),
        ]
    );
    let batches: Vec<RawBatch> = stored(&service.nats).await;
    let received: u32 = batches.iter().map(RawBatch::count).sum();
    assert_eq!(u64::from(received) + letters.len() as u64, 3, "each has one outcome");
    let metrics = service.metrics().await;
    assert!(metrics.contains("tidemill_ingestion_measured_total{outcome=\"rejected\"} 2"), "{metrics}");

    // Mended, the event of the lake's letter is the lake's still.
    let of_lake = letters.iter().find(|l| l.source == "tidemill/lake").expect("the letter");
    let mut mended = log[0].clone();
    mended["id"] = json!("0-8");
    bus.publish(&again(7, of_lake, &mended)).await.expect("stored");
    settled(&bus).await;
    let log = service.log().await;
    assert_eq!((&log[1]["source"], &log[1]["id"]), (&json!("tidemill/lake"), &json!("0-8")));
    service.stop().await;
}

#[tokio::test]
async fn nobody_else_may_claim_a_source_of_the_suite() {
    let service = Service::start().await;
    let bus = bus(&service).await;
    let mut event = view("e-1");
    event["source"] = json!("tidemill/lake");
    let answer = service.send("application/json", event.to_string()).await;
    answer.problem(422, "reserved_source");
    assert_eq!(answer.body["errors"][0]["pointer"], "/source");
    // What else is wrong with one decides nothing: its letter has no such source either.
    let mut unknown = event.clone();
    unknown["type"] = json!("order.teleported");
    service.send("application/json", unknown.to_string()).await.problem(422, "reserved_source");
    let twice = r#"{"id":"e-2","source":"tidemill/lake","type":"a","source":"tidemill/lake"}"#;
    service.send("application/json", twice).await;
    let deep = r#"{"id":"e-3","source":"tidemill/lake","type":"a","data":{"b":12345678901234567890.5}}"#;
    service.send("application/json", deep).await.problem(400, "imprecise_number");
    let binary = service.post("/v1/events").header("content-type", "application/json");
    let binary = binary.header("ce-id", "e-4").header("ce-source", "tidemill/lake").header("ce-type", "product.viewed");
    let binary = binary.header("ce-specversion", "1.0").body(event["data"].to_string());
    support::answer(binary).await.problem(422, "reserved_source");
    let letters = service.dead_letters().await;
    assert_eq!(letters.len(), 5);
    assert!(letters.iter().all(|letter| letter.source == "unknown"), "{letters:?}");

    // Sent again it is refused again, and goes in once it says who it is.
    bus.publish(&again(1, &letters[0], &event)).await.expect("stored");
    settled(&bus).await;
    assert_eq!(
        service.dead_letters().await.pop().map(|l| (l.code, l.redriven_from)),
        Some(("reserved_source".into(), Some(1)))
    );
    assert_eq!(service.log().await, [] as [Value; 0]);
    event["source"] = json!("tidemillers");
    bus.publish(&again(2, &letters[0], &event)).await.expect("stored");
    settled(&bus).await;
    assert_eq!(service.log().await[0]["source"], "tidemillers");
    service.stop().await;
}

/// A publisher that cannot tell whether it was heard tells it again; whoever takes the
/// stream over reads once more what was not acknowledged.
#[tokio::test]
async fn what_is_told_while_nobody_listens_is_taken_in_later() {
    let mut service = Service::with(|config| config.publish.deadline_ms = 500).await;
    let bus = bus(&service).await;
    for n in 0..20 {
        bus.publish(&check("lake", &format!("0-{n}"))).await.expect("stored");
    }
    service.nats.server.kill().await;
    service.nats.server.restart().await.expect("restarts");
    for n in 10..40 {
        let complain = |error: &tidemill_bus::Error| eprintln!("{error}");
        bus.publish_until_stored(&check("lake", &format!("0-{n}")), complain).await.expect("stored");
    }
    settled(&bus).await;
    let log = service.log().await;
    let ids: std::collections::BTreeSet<_> = log.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 40);
    assert!(service.dead_letters().await.is_empty(), "what is away fills no dead letters");
    service.stop().await;
}
