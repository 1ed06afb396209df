//! Dead letters are dear to their sender, and not to the suite.

mod support;

use std::{collections::BTreeMap, io::Write, num::NonZeroU32};

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answer, DEADLINE, Service, answer, stored, view};
use tidemill_bus::{Bus, Error};
use tidemill_domain::Timestamp;
use tidemill_events::{DeadLetter, Events, Redrive, StreamName};
use tidemill_testkit::{eventually, try_eventually};

/// The least that a caller can be given.
const LEAST_BUDGET: u32 = 512 << 10;

async fn bus(service: &Service) -> Bus {
    let config = tidemill_bus::Config { url: service.nats.url(), ..tidemill_bus::Config::default() };
    Bus::connect(&config, "test").await.expect("connects")
}

async fn used(bus: &Bus) -> u64 {
    bus.usage(StreamName::Dlq).await.expect("answers").bytes
}

/// Events that differ, fail alike, and do not compress well.
async fn send_rejects(service: &Service, source: &str, events: usize, bytes: usize) -> Answer {
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{seed:016x}")
    };
    let mut line = |n: usize| {
        let noise: String = (0..bytes / 16).map(|_| noise()).collect();
        format!("{{\"id\":\"{n}\",\"source\":\"{source}\",\"type\":\"none\",\"x\":\"{noise}\"}}\n")
    };
    let body: String = (0..events).map(&mut line).collect();
    service.send("application/x-ndjson", body).await
}

/// Rejected events by source, as the books count them.
async fn counted(nats: &tidemill_testkit::TestNats) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for letter in stored::<DeadLetter>(nats).await {
        *counted.entry(letter.source).or_default() += letter.events.count();
    }
    counted
}

async fn readiness(service: &Service) -> (StatusCode, Value) {
    let answer = answer(service.client.get(format!("http://{}/readyz", service.address))).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_body_of_a_few_bytes_makes_a_letter_of_a_few_bytes() {
    let service = Service::start().await;
    let plain = format!("[1{}]", ",1".repeat(9_999));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let body = encoder.write_all(plain.as_bytes()).and_then(|()| encoder.finish()).expect("writes to memory");
    assert!(body.len() < 80, "{}", body.len());
    let request =
        service.post("/v1/events").header("content-type", "application/json").header("content-encoding", "gzip");
    let told = answer(request.body(body)).await;
    told.problem(422, "all_rejected");
    assert_eq!((&told.body["rejected_total"], told.body.get("not_kept")), (&json!(10_000), None));
    assert_eq!(told.body["rejected"].as_array().map(Vec::len), Some(100));
    let more = &told.body["more_rejected"][0];
    assert_eq!((&more["code"], &more["count"]), (&json!("invalid_event"), &json!(9_900)));
    assert!(more["indexes"].as_array().expect("a list").iter().map(Value::as_u64).eq((100..10_000).map(Some)));

    let letters = service.dead_letters().await;
    assert_eq!((letters.len(), letters[0].events), (1, Events::Several(10_000)));
    assert_eq!(letters[0].body, r#"[{"text":"1","count":10000}]"#);
    let taken = used(&bus(&service).await).await;
    assert!(taken < 8 << 10, "{taken} bytes");
    service.stop().await;
}

#[tokio::test]
async fn beyond_a_budget_rejects_are_counted_and_told_and_the_stream_grows_no_more() {
    let service = Service::with(|config| {
        config.dead_letters.bytes_per_minute = NonZeroU32::new(LEAST_BUDGET).expect("not 0");
    })
    .await;
    let bus = bus(&service).await;
    let mut sent = 0;
    // Twice what a minute has.
    for _ in 0..10 {
        let told = send_rejects(&service, "flood", 100, 1000).await;
        told.problem(422, "all_rejected");
        sent += 100;
    }
    // A letter that needs half of the budget, and small ones until it is gone.
    let told = send_rejects(&service, "flood", 230, 1000).await;
    sent += 230;
    assert_eq!((&told.body["not_kept"], &told.body["rejected"][0]["kept"]), (&json!(230), &json!(false)), "{told:?}");
    let alone = json!({"type": "none", "source": "flood", "x": "y".repeat(60_000)}).to_string();
    for _ in 0..10 {
        let told = service.send("application/json", alone.clone()).await;
        told.problem(422, "unknown_type");
        sent += 1;
        if told.body["kept"] == json!(false) {
            break;
        }
    }
    let at_first = used(&bus).await;
    assert!(at_first < 2 * u64::from(LEAST_BUDGET), "{at_first}");
    assert!(service.metrics().await.contains("dead_letters_not_kept_total{code=\"unknown_type\",reason=\"budget\"}"));
    let good = service.send("application/json", view("good").to_string()).await;
    good.accepted(1);

    let total = try_eventually("the books have them all", DEADLINE, || async {
        let counted = counted(&service.nats).await.get("flood").copied().unwrap_or_default();
        if counted == sent { Ok(counted) } else { Err(counted) }
    })
    .await;
    assert_eq!(total, sent);
    let grown = used(&bus).await - at_first;
    assert!(grown < 8 << 10, "{grown} bytes for the counts of {sent} events");
    let counts: Vec<DeadLetter> =
        service.dead_letters().await.into_iter().filter(|letter| !letter.events.are_kept()).collect();
    assert!(counts.iter().all(|letter| letter.body.is_empty() && letter.code == "unknown_type"));
    assert!(counts[0].reason.contains("budget") && counts[0].reason.contains("anybody"), "{}", counts[0].reason);

    // What is counted last goes out when the service does.
    let last = send_rejects(&service, "last", 230, 1000).await;
    assert_eq!(last.body["not_kept"], json!(230), "{last:?}");
    let Service { nats, context, .. } = service;
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
    assert_eq!(counted(&nats).await["last"], 230);
}

/// A letter as a stage behind ingestion writes it.
fn of_a_stage(n: usize, bytes: usize) -> DeadLetter {
    let mut noise = vec![0; bytes];
    let mut seed = n as u64 + 1;
    noise.fill_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    });
    DeadLetter {
        id: format!("enrichment-{n}"),
        service: "enrichment".into(),
        release: "0".into(),
        code: "malformed_event".into(),
        reason: String::new(),
        pointer: None,
        stream: None,
        sequence: None,
        deliveries: 1,
        first_failed_at: Timestamp::EPOCH,
        source: "shop".into(),
        event_id: None,
        redriven_from: None,
        personal: Vec::new(),
        trace: None,
        events: Events::One,
        body: noise.into(),
    }
}

/// An order for a letter that fails again.
fn failing_order() -> Redrive {
    Redrive {
        id: uuid::Uuid::from_u128(1),
        letter: 7,
        by: "anna".into(),
        at: Timestamp::EPOCH,
        source: "till".into(),
        event_id: None,
        first_failed_at: Timestamp::EPOCH,
        trace: None,
        several: false,
        body: r#"{"type":"none"}"#.into(),
    }
}

#[tokio::test]
async fn a_full_stream_of_dead_letters_holds_no_accepted_event_up() {
    let service = Service::with(|config| config.nats.log_bytes = 1 << 20).await;
    let bus = bus(&service).await;
    let mut letters = 0;
    // Where a long one has no more room, a short one may have.
    for bytes in [2000, 200, 0] {
        let full = loop {
            match bus.publish(&of_a_stage(letters, bytes)).await {
                Ok(_) => letters += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::Full { .. }), "{full}");
    }
    let calls = json!({"batch": [
        {"type": "no-such-call", "messageId": "x"},
        {"type": "no-such-call", "messageId": "y", "anonymousId": "a", "name": "Home"},
        {"type": "track", "event": "Order Completed", "messageId": "od", "userId": "c",
            "properties": {"order_id": "od", "products": [{"product_id": "p", "price": 10, "quantity": 1}]}},
    ]});
    let told = answer(service.post("/v1/batch").json(&calls)).await;
    assert_eq!((told.status, &told.body["accepted"]), (StatusCode::ACCEPTED, &json!(1)), "{told:?}");
    assert_eq!((&told.body["rejected_total"], &told.body["not_kept"]), (&json!(2), &json!(2)));
    assert_eq!(told.body["rejected"][1]["kept"], json!(false));
    assert_eq!(service.log().await.len(), 1);
    // It is said, and nobody is taken out of service for it.
    let (status, said) = readiness(&service).await;
    assert_eq!((status, &said["ready"], &said["problems"]), (StatusCode::OK, &json!(true), &json!({})));
    assert!(said["notices"]["dead_letters"].as_str().is_some_and(|notice| notice.contains("full")), "{said}");
    assert!(service.metrics().await.contains("tidemill_ingestion_dead_letters_full 1"));
    // Nor for a letter that is sent again, fails again, and cannot be kept: it waits.
    bus.publish(&failing_order()).await.expect("stored");
    eventually("it waits", DEADLINE, || async {
        let (status, said) = readiness(&service).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        said["notices"]["redrive"].as_str().map(|notice| assert!(notice.contains("full"), "{notice}"))
    })
    .await;

    // Room is made: what was counted goes out, and letters are kept again.
    for sequence in 1..=letters as u64 / 2 {
        bus.delete::<DeadLetter>(sequence).await.expect("deletes");
    }
    eventually("the notices are withdrawn", DEADLINE, || async {
        (readiness(&service).await.1["notices"] == json!({})).then_some(())
    })
    .await;
    let kept = service.send("application/json", json!({"type": "none", "source": "later"}).to_string()).await;
    assert_eq!((kept.status.as_u16(), kept.body.get("kept")), (422, None), "{kept:?}");
    let Service { nats, context, .. } = service;
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
    let mut of_ingestion = BTreeMap::new();
    for sequence in letters as u64 + 1.. {
        let Some(stored) = bus.message_at::<DeadLetter>(sequence).await.expect("reads") else { break };
        *of_ingestion.entry(stored.message.source).or_insert(0) += stored.message.events.count();
    }
    assert_eq!(
        of_ingestion,
        BTreeMap::from([("later".to_owned(), 1), ("segment".to_owned(), 2), ("till".to_owned(), 1)])
    );
    drop(nats);
}

#[tokio::test]
async fn ingestion_leaves_room_for_the_letters_of_the_stages_behind_it() {
    let service = Service::with(|config| config.nats.log_bytes = 1 << 20).await;
    let bus = bus(&service).await;
    // Four times what the stream holds.
    for _ in 0..10 {
        send_rejects(&service, "flood", 100, 1000).await.problem(422, "all_rejected");
    }
    let usage = bus.usage(StreamName::Dlq).await.expect("answers");
    assert!(usage.is_below((4, 5)), "{usage:?}");
    assert!(!usage.is_below((1, 4)), "and it has used its share: {usage:?}");
    bus.publish(&of_a_stage(0, 2000)).await.expect("there is room");
    service.stop().await;
}
