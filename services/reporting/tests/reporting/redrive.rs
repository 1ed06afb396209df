//! Orders for dead letters. The test plays ingestion: it reads what is sent to
//! it, and says what became of it.

use crate::shop::{DEADLINE, HOSTILE, Running, Shop, batch, letter};
use serde_json::{Value as Json, json};
use tidemill_bus::Bus;
use tidemill_domain::{Clock, SystemClock};
use tidemill_events::{Body, DeadLetter, Events, RawBatch, Redrive, StreamName, bodies};
use tidemill_reporting::{ActionRequest, RequestKind, Store};
use tidemill_testkit::eventually;
use uuid::Uuid;

/// Publishes dead letters of ingestion, and waits until they are listed.
async fn dead_letter(bus: &Bus, running: &Running, ids: &[&str]) {
    for id in ids {
        bus.publish(&letter(id, "ingestion", format!("{{\"id\":\"{id}\"}}"))).await.expect("stored");
    }
    let are_listed = |answer: &Json| answer["dead_letters"].as_array().is_some_and(|l| l.len() >= ids.len());
    running.until("/v1/dead-letters", are_listed).await;
}

/// What a replica writes down of an order.
fn requested(kind: RequestKind) -> ActionRequest {
    ActionRequest {
        request: Uuid::from_u128(1),
        kind,
        force: false,
        by: "anna".into(),
        key: "anybody".into(),
        reason: "a test".into(),
        at: SystemClock.now(),
        body: Vec::new(),
    }
}

/// The order with this sequence, once it is sent.
async fn sent(bus: &Bus, sequence: u64) -> Redrive {
    eventually("the order is sent", DEADLINE, || async move {
        bus.message_at::<Redrive>(sequence).await.expect("reads").map(|stored| stored.message)
    })
    .await
}

pub(crate) async fn accept(bus: &Bus, batch_id: u128, letters: Vec<u64>) -> u64 {
    let message = RawBatch { redriven: letters, ..batch(batch_id, 0, 1) };
    bus.publish(&message).await.expect("stored").sequence
}

pub(crate) async fn stands(running: &Running, letter: u64, state: &str) -> Json {
    running.until(&format!("/v1/dead-letters/{letter}"), |answer| answer["state"] == state).await
}

fn verdicts(answer: &Json) -> Vec<(u64, String)> {
    let text = |v: &Json| v["code"].as_str().or(v["verdict"].as_str()).expect("a verdict").to_owned();
    let letters = answer["letters"].as_array().expect("letters");
    letters.iter().map(|v| (v["sequence"].as_u64().expect("a number"), text(v))).collect()
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_once_and_settled() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    dead_letter(&shop.bus, &running, &["a", "b", "c"]).await;
    let order = json!({"sequences": [1, 2], "by": "anna", "reason": "schema added"});
    let mut dry = order.clone();
    dry["dry_run"] = true.into();
    let (status, answer) = running.post("/v1/dead-letters/redrive", &dry).await;
    assert_eq!((status, &answer["ordered"], &answer["dry_run"]), (200, &json!(2), &json!(true)));
    let (status, answer) = running.post("/v1/dead-letters/redrive", &order).await;
    assert_eq!((status, verdicts(&answer)), (202, vec![(1, "redriving".into()), (2, "redriving".into())]));
    let request = answer["request"].as_str().expect("a name").to_owned();
    let mut orders = [sent(&shop.bus, 1).await, sent(&shop.bus, 2).await];
    orders.sort_by_key(|order| order.letter);
    let [first, second] = orders;
    assert_eq!((first.letter, first.by.as_str(), first.source.as_str()), (1, "anna", HOSTILE));
    assert_eq!((first.body.as_ref(), first.event_id.as_deref()), (&b"{\"id\":\"a\"}"[..], Some("e-1")));
    assert_eq!((second.letter, second.first_failed_at), (2, crate::shop::at(1300)));

    // Neither by another order, nor by the same one once more.
    let (_, again) = running.post("/v1/dead-letters/redrive", &order).await;
    assert_eq!(verdicts(&again), [(1, "already_redriving".into()), (2, "already_redriving".into())]);
    let mut repeated = order.clone();
    repeated["request"] = request.clone().into();
    let (_, repeated) = running.post("/v1/dead-letters/redrive", &repeated).await;
    assert_eq!((&repeated["ordered"], &repeated["refused"]), (&json!(2), &json!(0)));

    let raw = accept(&shop.bus, 7, vec![1]).await;
    let again = DeadLetter { redriven_from: Some(2), ..letter("b-2", "ingestion", "{}") };
    shop.bus.publish(&again).await.expect("stored");
    let accepted = stands(&running, 1, "accepted").await;
    assert_eq!(accepted["raw_sequence"], json!(raw));
    let failed = stands(&running, 2, "failed_again").await;
    assert_eq!((&failed["failed_again_as"], &failed["body"]), (&json!(4), &json!("{\"id\":\"b\"}")));
    assert_eq!((&failed["body_encoding"], &failed["release"]), (&json!("utf-8"), &json!("0.1.0")));
    assert_eq!(stands(&running, 4, "dead").await["redriven_from"], json!(2));
    let progress = running.json(&format!("/v1/dead-letters/orders/{request}")).await;
    assert_eq!(
        (&progress["accepted"], &progress["failed_again"], &progress["settled"]),
        (&json!(1), &json!(1), &json!(true))
    );
    let history = accepted["history"].as_array().expect("a list");
    assert_eq!((history.len(), &history[0]["by"], &history[0]["state"]), (1, &json!("anna"), &json!("accepted")));
    assert!(shop.bus.message_at::<Redrive>(3).await.expect("reads").is_none(), "nothing more was sent");
    // Three failed at the door and one once more; one of them is accepted by now.
    let books = running.until("/v1/books", |books| books["totals"]["received"] == 5).await;
    assert_eq!((&books["totals"]["rejected"], &books["totals"]["in_flight"]), (&json!(4), &json!(1)));
    let (_, forced) =
        running.post("/v1/dead-letters/redrive", &json!({"sequences": [1], "by": "b", "force": true})).await;
    assert_eq!(verdicts(&forced), [(1, "redriving".into())]);
    running.stop().await;
}

#[tokio::test]
async fn a_filter_says_which_and_a_dry_run_changes_nothing() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    dead_letter(&shop.bus, &running, &["a", "b", "c", "d"]).await;
    for (id, service, source, code) in [("e", "enrichment", "till", "x"), ("f", "alert", "shop", "x")] {
        let other = DeadLetter { source: source.into(), code: code.into(), ..letter(id, service, "{}") };
        shop.bus.publish(&other).await.expect("stored");
    }
    running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 6)).await;
    let redrive = async |filter: Json, more: Json| {
        let mut order = json!({"filter": filter, "by": "anna", "dry_run": true});
        order.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        running.post("/v1/dead-letters/redrive", &order).await.1
    };
    let numbers = |answer: &Json| verdicts(answer).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(numbers(&redrive(json!({}), json!({})).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&redrive(json!({"source": "till"}), json!({})).await), [5]);
    assert_eq!(numbers(&redrive(json!({"since": crate::shop::at(1301)}), json!({})).await), Vec::<u64>::new());
    let alert = redrive(json!({"service": "alert"}), json!({"force": true})).await;
    assert_eq!(verdicts(&alert), [(6, "not_an_event".into())]);
    let page = redrive(json!({"code": "schema_violation"}), json!({"limit": 3})).await;
    assert_eq!((numbers(&page), &page["next"]), (vec![1, 2, 3], &json!(3)));
    let last = redrive(json!({"code": "schema_violation"}), json!({"limit": 3, "after": 3})).await;
    assert_eq!((numbers(&last), &last["next"]), (vec![4], &Json::Null));

    // All of that was only talk.
    assert_eq!(running.json("/v1/dead-letters/audit").await["actions"], json!([]));
    assert!(shop.bus.message_at::<Redrive>(1).await.expect("reads").is_none());
    let (status, answer) = running
        .post("/v1/dead-letters/discard", &json!({"filter": {"source": "till"}, "by": "bob", "reason": "a test"}))
        .await;
    assert_eq!((status, verdicts(&answer)), (200, vec![(5, "discarded".into())]));
    let dead = running.json("/v1/dead-letters?state=dead&service=enrichment").await;
    assert_eq!(dead["dead_letters"], json!([]));
    let discarded = running.json("/v1/dead-letters?state=discarded&source=till").await;
    assert_eq!(discarded["dead_letters"][0]["sequence"], json!(5));
    let audit = running.json("/v1/dead-letters/audit?kind=discard&by=bob").await;
    assert_eq!(
        (&audit["actions"][0]["letter"], &audit["actions"][0]["reason"], &audit["actions"][0]["key"]),
        (&json!(5), &json!("a test"), &json!("anybody"))
    );
    running.stop().await;
}

#[tokio::test]
async fn a_mended_event_is_sent_in_the_letters_name() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    dead_letter(&shop.bus, &running, &["a"]).await;
    shop.bus.publish(&letter("binary", "ingestion", vec![0xff, 0x00])).await.expect("stored");
    let shown = stands(&running, 2, "dead").await;
    let (masked, bytes) = (json!("(masked): 2 bytes that are no JSON"), json!(2));
    assert_eq!((&shown["body"], &shown["body_encoding"], &shown["body_bytes"]), (&masked, &json!("utf-8"), &bytes));
    let whole = running.json("/v1/dead-letters/2?unmasked=true").await;
    assert_eq!((&whole["body"], &whole["body_encoding"]), (&json!("/wA="), &json!("base64")));
    let mended = json!({"sequences": [1], "by": "anna", "body": {"id": "a", "price": 1.10}});
    assert_eq!(running.post("/v1/dead-letters/redrive", &mended).await.0, 202);
    let order = sent(&shop.bus, 1).await;
    assert_eq!((order.letter, order.body.as_ref()), (1, &b"{\"id\":\"a\",\"price\":1.1}"[..]));
    let history = &stands(&running, 1, "redriving").await["history"];
    assert_eq!(history[0]["mended"], json!(true));
    running.stop().await;
}

#[tokio::test]
async fn what_was_written_down_is_sent_after_a_crash() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    for id in ["a", "b"] {
        // Young enough to outlive a start.
        let young = DeadLetter { first_failed_at: SystemClock.now(), ..letter(id, "ingestion", "{}") };
        shop.bus.publish(&young).await.expect("stored");
    }
    running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 2)).await;
    running.stop().await;
    // As a replica leaves it that dies between the two.
    let store = tidemill_store::Config { url: shop.sqlite(), max_connections: 1 };
    let store = Store::open(&store).await.expect("opens");
    let order = requested(RequestKind::Redrive);
    assert_eq!(store.order(&order, &[2]).await.expect("writes"), [2].into());
    store.close().await;

    let running = shop.report("").await;
    let redrive = sent(&shop.bus, 1).await;
    assert_eq!((redrive.id, redrive.letter, redrive.at), (order.action(2), 2, order.at));
    running.until(&format!("/v1/dead-letters/orders/{}", order.request), |order| order["sent"] == 1).await;
    accept(&shop.bus, 9, vec![2]).await;
    stands(&running, 2, "accepted").await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_order_is_told_so() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let post = || running.client.post(format!("http://{}/v1/dead-letters/redrive", running.address));
    for (request, status, code) in [
        (post().body("{}"), 415, "unsupported_media_type"),
        (post().json(&json!({"by": ""})), 422, "invalid_request"),
        (post().json(&json!({"by": "a", "ids": [1]})), 422, "invalid_request"),
        (
            post().json(&json!({"sequences": [1], "by": "a", "body": "{\"email\":\"(masked)\"}"})),
            422,
            "invalid_request",
        ),
        (post().json(&"x".repeat(2 << 20)), 413, "body_too_large"),
    ] {
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(
            (answer.status().as_u16(), answer.json::<Json>().await.expect("JSON")["code"].as_str()),
            (status, Some(code))
        );
    }
    running.stop().await;
}

/// A letter of ingestion that stands for several events.
fn several(id: &str, texts: &[(&'static str, u64)]) -> DeadLetter {
    let list: Vec<Body> = texts.iter().map(|(text, count)| Body { count: *count, bytes: (*text).into() }).collect();
    let count = list.iter().map(|body| body.count).sum();
    DeadLetter { events: Events::Several(count), ..letter(id, "ingestion", bodies::encode(&list).expect("encodes")) }
}

#[tokio::test]
async fn a_letter_of_several_events_counts_for_all_and_is_sent_whole() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    shop.bus.publish(&several("a", &[("{\"n\":1}", 2), ("{\"n\":2}", 1)])).await.expect("stored");
    let counted = DeadLetter { events: Events::Counted(40), ..letter("b", "ingestion", Vec::new()) };
    shop.bus.publish(&counted).await.expect("stored");
    let listed =
        running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 2)).await;
    let of = |place: usize| {
        let letter = &listed["dead_letters"][place];
        (letter["count"].as_u64(), letter["kept"].as_bool(), letter["body"].as_str().map(str::to_owned))
    };
    assert_eq!(of(1), (Some(3), Some(true), Some("{\"n\":1}".into())), "the first stands for all");
    assert_eq!(of(0), (Some(40), Some(false), None));
    let books = running.until("/v1/books", |books| books["totals"]["rejected"] == 43).await;
    assert_eq!((&books["totals"]["received"], &books["balanced"]), (&json!(43), &json!(true)));

    let shown = stands(&running, 1, "dead").await;
    let list = r#"[{"text":"{\"n\":1}","count":2},{"text":"{\"n\":2}"}]"#;
    assert_eq!((&shown["body_encoding"], &shown["body"]), (&json!("list"), &json!(list)));
    let (_, answer) = running.post("/v1/dead-letters/redrive", &json!({"sequences": [1, 2], "by": "anna"})).await;
    assert_eq!(verdicts(&answer), [(1, "redriving".into()), (2, "not_kept".into())]);
    let order = sent(&shop.bus, 1).await;
    assert_eq!((order.several, &order.body[..]), (true, list.as_bytes()));

    // Some are accepted, one fails again: both is told, in either order.
    let again = DeadLetter { redriven_from: Some(1), ..letter("a-2", "ingestion", "{}") };
    shop.bus.publish(&again).await.expect("stored");
    stands(&running, 1, "failed_again").await;
    let raw = accept(&shop.bus, 5, vec![1]).await;
    let settled = stands(&running, 1, "accepted").await;
    assert_eq!((&settled["raw_sequence"], &settled["failed_again_as"]), (&json!(raw), &json!(3)));
    shop.bus.publish(&several("c", &[("x", 1), ("y", 1)])).await.expect("stored");
    stands(&running, 4, "dead").await;
    accept(&shop.bus, 6, vec![4]).await;
    stands(&running, 4, "accepted").await;
    let again = DeadLetter { redriven_from: Some(4), ..letter("c-2", "ingestion", "{}") };
    shop.bus.publish(&again).await.expect("stored");
    let settled = running.until("/v1/dead-letters/4", |letter| letter["failed_again_as"] == 5).await;
    assert_eq!(settled["state"], json!("accepted"));

    // Mended, it is a list as it was.
    shop.bus.publish(&several("d", &[("x", 1), ("y", 1)])).await.expect("stored");
    running.until("/v1/dead-letters", |answer| answer["dead_letters"][0]["sequence"] == 6).await;
    let mended = |body: &str| json!({"sequences": [6], "by": "anna", "body": body});
    let (status, problem) = running.post("/v1/dead-letters/redrive", &mended("{\"n\":1}")).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/body")));
    assert_eq!(running.post("/v1/dead-letters/redrive", &mended(list)).await.0, 202);
    assert_eq!(&sent(&shop.bus, 2).await.body[..], list.as_bytes());
    running.stop().await;
}

#[tokio::test]
async fn what_is_discarded_leaves_the_stream_also_after_a_crash() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    for id in ["a", "b", "c"] {
        let young = DeadLetter { first_failed_at: SystemClock.now(), ..letter(id, "ingestion", vec![7; 3000]) };
        shop.bus.publish(&young).await.expect("stored");
    }
    running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == 3)).await;
    let is_gone = async |sequence: u64| {
        eventually("it is gone from the stream", DEADLINE, || async {
            let stored = shop.bus.message_at::<DeadLetter>(sequence).await.expect("reads");
            stored.is_none().then_some(())
        })
        .await;
    };
    let before = shop.bus.usage(StreamName::Dlq).await.expect("answers").bytes;
    let order = json!({"sequences": [2], "by": "anna", "reason": "a test"});
    let (status, answer) = running.post("/v1/dead-letters/discard", &order).await;
    assert_eq!((status, verdicts(&answer)), (200, vec![(2, "discarded".into())]));
    is_gone(2).await;
    assert!(shop.bus.usage(StreamName::Dlq).await.expect("answers").bytes < before);
    let shown = running.until("/v1/dead-letters/2", |letter| letter["history"][0]["state"] == "done").await;
    assert_eq!((&shown["state"], &shown["body"]), (&json!("discarded"), &Json::Null));
    let (_, forced) =
        running.post("/v1/dead-letters/redrive", &json!({"sequences": [2], "by": "b", "force": true})).await;
    assert_eq!(verdicts(&forced), [(2, "already_discarded".into())]);
    running.stop().await;

    // As a replica leaves it that dies between the two; once before the letter
    // was deleted, and once after that.
    let store = tidemill_store::Config { url: shop.sqlite(), max_connections: 1 };
    let store = Store::open(&store).await.expect("opens");
    let order = requested(RequestKind::Discard);
    assert_eq!(store.order(&order, &[1, 3]).await.expect("writes"), [1, 3].into());
    store.close().await;
    shop.bus.delete::<DeadLetter>(3).await.expect("deletes");
    let running = shop.report("").await;
    is_gone(1).await;
    running.until(&format!("/v1/dead-letters/orders/{}", order.request), |order| order["done"] == 2).await;

    running.stop().await;
}

#[tokio::test]
async fn a_full_stream_of_dead_letters_shows_in_the_health_of_the_chain() {
    let shop = Shop::open().await;
    let running = shop.report("nats.log_bytes = 262144").await;
    let health = running.until("/v1/health", |health| health["dead_letters"]["full"] == false).await;
    assert_eq!(health["dead_letters"]["used_percent"], json!(0));
    // The stream holds a quarter of that.
    let mut letters = 0;
    while shop.bus.usage(StreamName::Dlq).await.expect("answers").is_below((3, 4)) {
        shop.bus.publish(&letter(&format!("{letters}"), "ingestion", vec![7; 3000])).await.expect("stored");
        letters += 1;
    }
    let health = running.until("/v1/health", |health| health["dead_letters"]["full"] == true).await;
    assert_eq!(health["status"], json!("degraded"));
    let order = json!({"filter": {}, "by": "anna", "reason": "a test"});
    running.until("/v1/dead-letters", |l| l["dead_letters"].as_array().is_some_and(|l| l.len() == letters)).await;
    assert_eq!(running.post("/v1/dead-letters/discard", &order).await.1["ordered"], json!(letters));
    running.until("/v1/health", |health| health["dead_letters"]["used_percent"] == 0).await;
    running.stop().await;
}
