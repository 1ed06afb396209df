//! The service's HTTP interface, on a real nats-server.

mod lenient;
mod limits;
mod pages;
mod partitions;
mod recommended;
mod segment;
#[path = "../support/mod.rs"]
mod support;
mod written_keys;

use std::{collections::BTreeSet, io::Write};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Service, answer, view};
use tidemill_ingestion::ClientIp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn ids(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writes to memory")
}

#[tokio::test]
async fn every_format_reaches_the_log() {
    let service = Service::start().await;
    service.send("application/cloudevents+json", view("structured").to_string()).await.accepted(1);
    let batch = json!([view("batch-1"), view("batch-2")]).to_string();
    service.send("application/cloudevents-batch+json; charset=utf-8", batch).await.accepted(2);
    let lines = format!("{}\r\n\n{}", view("line-1"), view("line-2"));
    service.send("application/x-ndjson", lines).await.accepted(2);
    let plain = json!({"id": "plain", "type": "product.viewed", "source": "shop", "data": {"product_id": "p"}});
    service.send("application/json", plain.to_string()).await.accepted(1);
    service.send("application/json", format!(" [{}]", view("array"))).await.accepted(1);
    let binary = service
        .post("/v1/events")
        .header("ce-specversion", "1.0")
        .header("ce-id", "binary")
        .header("ce-source", "shop")
        .header("ce-type", "product.viewed")
        .header("ce-subject", "Zo%C3%AB")
        .header("ce-shop", r#""the \"old\" one%21""#)
        .header("content-type", "application/json")
        .body(r#"{"product_id":"p"}"#);
    answer(binary).await.accepted(1);
    let track =
        json!({"event": "Product Viewed", "messageId": "track", "userId": "c", "properties": {"product_id": "p"}});
    let batch = json!({"batch": [{"type": "track", "event": "Order Completed", "messageId": "track-batch", "anonymousId": "a",
        "properties": {"order_id": "o", "products": [{"product_id": "p", "price": 9.99}]}}]});
    answer(service.post("/v1/track").json(&track)).await.accepted(1);
    answer(service.post("/v1/batch").json(&batch)).await.accepted(1);

    let log = service.log().await;
    let expected =
        ["structured", "batch-1", "batch-2", "line-1", "line-2", "plain", "array", "binary", "track", "track-batch"];
    assert_eq!(ids(&log), BTreeSet::from(expected));
    let event = |id: &str| log.iter().find(|event| event["id"] == id).expect("in the log");
    assert_eq!(*event("structured"), view("structured"));
    assert_eq!(event("binary")["subject"], "Zo\u{eb}");
    assert_eq!(event("binary")["shop"], r#"the "old" one!"#);
    assert_eq!(event("plain")["specversion"], "1.0");
    assert!(event("plain")["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(event("track-batch")["data"]["items"][0]["quantity"], 1);
    service.stop().await;
}

#[tokio::test]
async fn every_encoding_is_inflated_and_every_bomb_defused() {
    let service = Service::start().await;
    type Encode = fn(&[u8]) -> Vec<u8>;
    let encoders: [(&str, Encode); 3] = [
        ("gzip", gzipped),
        ("zstd", |body| zstd::encode_all(body, 3).expect("writes to memory")),
        ("lz4", |body| {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(body).expect("writes to memory");
            encoder.finish().expect("writes to memory")
        }),
    ];
    let bomb = vec![b' '; 33 << 20];
    for (name, encode) in encoders {
        let send = async |body: Vec<u8>| {
            let request = service.post("/v1/events").header("content-encoding", name);
            answer(request.header("content-type", "application/cloudevents+json").body(body)).await
        };
        let whole = encode(view(name).to_string().as_bytes());
        send(whole.clone()).await.accepted(1);
        send(whole[..whole.len() - 5].to_vec()).await.problem(400, "malformed_encoding");
        send(view(name).to_string().into_bytes()).await.problem(400, "malformed_encoding");
        let bomb = encode(&bomb);
        assert!(bomb.len() < 1 << 20);
        send(bomb).await.problem(413, "inflated_too_large");
    }
    assert_eq!(ids(&service.log().await), BTreeSet::from(["gzip", "zstd", "lz4"]));
    let brotli = service.post("/v1/events").header("content-type", "application/json").header("content-encoding", "br");
    let refused = answer(brotli.body("{}")).await;
    refused.problem(415, "unsupported_encoding");
    assert_eq!(refused.headers["accept-encoding"], "gzip, zstd, lz4");
    service.stop().await;
}

/// As PowerShell and Excel write texts, compressed or not.
#[tokio::test]
async fn a_byte_order_mark_costs_no_event() {
    let service = Service::start().await;
    let marked = |text: String| format!("\u{feff}{text}");
    service.send("application/cloudevents+json", marked(view("one").to_string())).await.accepted(1);
    service.send("application/json", marked(format!("[{}]", view("listed")))).await.accepted(1);
    let lines = marked(format!("{}\r\n{}", view("line-1"), view("line-2")));
    service.send("application/x-ndjson", lines.clone()).await.accepted(2);
    let gzip = service.post("/v1/events").header("content-type", "application/x-ndjson");
    answer(gzip.header("content-encoding", "gzip").body(gzipped(lines.as_bytes()))).await.accepted(2);
    let call = json!({"event": "Product Viewed", "messageId": "call", "properties": {"product_id": "p"}});
    let track = service.post("/v1/track").header("content-type", "text/plain").body(marked(call.to_string()));
    answer(track).await.accepted(1);
    assert_eq!(ids(&service.log().await), BTreeSet::from(["one", "listed", "line-1", "line-2", "call"]));
    assert!(service.dead_letters().await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn bad_input_gets_a_clear_answer() {
    let service = Service::start().await;
    let event = |data: &str| format!(r#"{{"id":"x","source":"shop","type":"order.placed","data":{data}}}"#);
    let order = |price: &str| {
        event(&format!(r#"{{"order_id":"o","items":[{{"product_id":"p","quantity":1,"unit_price":{price}}}]}}"#))
    };
    let nested = |levels: usize| event(&format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)));
    let single = [
        ("", 400, "malformed_body", None),
        ("{\"id\":", 400, "malformed_json", None),
        ("null", 422, "invalid_event", None),
        ("\u{feff}", 400, "malformed_body", None),
        (&order("NaN"), 400, "malformed_json", Some("/data/items/0/unit_price")),
        (&order("1e999"), 400, "malformed_json", Some("/data/items/0/unit_price")),
        (&order("0.1000000000000000001"), 400, "imprecise_number", Some("/data/items/0/unit_price")),
        (&order("1e15"), 422, "schema_violation", Some("/data/items/0/unit_price")),
        (&order(r#""1e15""#), 422, "schema_violation", Some("/data/items/0/unit_price")),
        (&order("true"), 422, "schema_violation", Some("/data/items/0/unit_price")),
        (&order(r#""\ud800""#), 400, "malformed_json", Some("/data/items/0/unit_price")),
        (&event(r#"{"a":1,"a":2}"#), 400, "duplicate_key", Some("/data/a")),
        (&event("[]"), 422, "schema_violation", Some("/data")),
        (&nested(10_000), 400, "too_deep", None),
        (&nested(70), 400, "too_deep", None),
        (r#"{"source":"shop","type":"no.such"}"#, 422, "unknown_type", None),
        (r#"{"source":"shop","type":"order.placed","time":"1970"}"#, 422, "invalid_event", Some("/time")),
        (r#"{"source":true,"type":"order.placed"}"#, 422, "invalid_event", Some("/source")),
        (r#"{"source":"shop","type":"order.placed","enriched":{}}"#, 422, "invalid_event", Some("/enriched")),
    ];
    let mut wrong = Vec::new();
    for (body, status, code, pointer) in single {
        let answer = service.send("application/cloudevents+json", body.to_owned()).await;
        let place = pointer.and(answer.body["errors"][0]["pointer"].as_str());
        if (answer.status.as_u16(), answer.body["code"].as_str(), place) != (status, Some(code), pointer) {
            wrong.push((body, answer));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    service.send("application/cloudevents+json", &b"{\"id\":\"\xff\"}"[..]).await.problem(400, "malformed_json");
    let utf16: Vec<u8> = view("16").to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    service.send("application/json", utf16).await.problem(400, "malformed_json");
    let large = event(&format!(r#"{{"a":"{}"}}"#, "x".repeat(70 << 10)));
    service.send("application/cloudevents+json", large).await.problem(413, "event_too_large");
    for broken in ["[{}", "[{},]", "{}", "[NaN]", "[\u{1}]"] {
        service.send("application/cloudevents-batch+json", broken).await.problem(400, "malformed_body");
    }
    // A deep event and one with a lone surrogate leave their neighbour alone.
    let mixed = format!("[{},{},{}]", nested(10_000), order(r#""\udc00""#), view("neighbour"));
    let answer = service.send("application/json", mixed).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (StatusCode::ACCEPTED, &json!(1)), "{answer:?}");
    assert_eq!(ids(&service.log().await), BTreeSet::from(["neighbour"]));
    assert_eq!(service.dead_letters().await.len(), 17 + 2 + 1 + 2);
    service.stop().await;
}

#[tokio::test]
async fn clocks_of_1970_and_2100_are_taken_as_they_are() {
    let service = Service::start().await;
    for (time, written) in [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2100-12-31T23:59:59.123456+02:00", "2100-12-31T21:59:59.123Z"),
    ] {
        let mut event = view(time);
        event["time"] = time.into();
        service.send("application/cloudevents+json", event.to_string()).await.accepted(1);
        assert_eq!(service.log().await.last().expect("in the log")["time"], written);
    }
    service.stop().await;
}

#[tokio::test]
async fn each_event_has_its_verdict_and_a_rejected_one_its_dead_letter() {
    let service = Service::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let bad = json!({"id": "bad", "source": "till-7", "type": "order.placed", "data": {"order_id": "o"}, "traceparent": trace});
    let lines = format!("{}\n{bad}\n{{oops\n{}", view("good"), view("good"));
    let answer = service.send("application/x-ndjson", lines).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!((&answer.body["accepted"], &answer.body["duplicate"]), (&json!(2), &json!(1)));
    let rejected = answer.body["rejected"].as_array().expect("a list");
    let summary: Vec<_> = rejected.iter().map(|r| (&r["index"], &r["id"], &r["problem"]["code"])).collect();
    assert_eq!(
        summary,
        [(&json!(1), &json!("bad"), &json!("schema_violation")), (&json!(2), &Value::Null, &json!("malformed_json"))]
    );
    assert_eq!(service.log().await.len(), 2);

    let letters = service.dead_letters().await;
    let of = |code: &str| letters.iter().find(|letter| letter.code == code).expect("kept");
    let schema = of("schema_violation");
    assert_eq!((schema.service.as_str(), schema.source.as_str()), ("ingestion", "till-7"));
    assert_eq!((schema.event_id.as_deref(), schema.pointer.as_deref()), (Some("bad"), Some("/data")));
    assert_eq!(schema.trace.map(|trace| trace.to_string()).as_deref(), Some(trace));
    assert_eq!(schema.body, bad.to_string());
    let malformed = of("malformed_json");
    assert_eq!((malformed.source.as_str(), &malformed.event_id), ("unknown", &None));
    assert_eq!(malformed.body, "{oops");

    let all = service.send("application/x-ndjson", format!("{bad}\n[]")).await;
    all.problem(422, "all_rejected");
    assert_eq!((&all.body["accepted"], all.body["rejected"].as_array().map(Vec::len)), (&json!(0), Some(2)));
    let again = service.send("application/cloudevents+json", view("good").to_string()).await;
    assert_eq!((&again.body["accepted"], &again.body["duplicate"]), (&json!(1), &json!(1)));
    service.stop().await;
}

#[tokio::test]
async fn browsers_may_send() {
    let service = Service::with(|config| config.sender.clientip = ClientIp::Browsers).await;
    let preflight = service
        .client
        .request(Method::OPTIONS, format!("http://{}/v1/events", service.address))
        .header("origin", "https://any.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = answer(preflight).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.headers["access-control-allow-origin"], "*");
    assert_eq!(allowed.headers["access-control-allow-headers"], "authorization,content-type");
    let from_page = service.post("/v1/events").header("origin", "https://any.example");
    answer(from_page.header("content-type", "application/json").body(view("page").to_string())).await.accepted(1);
    assert_eq!(service.log().await[0]["clientip"], "127.0.0.1");
    service.stop().await;
}

#[tokio::test]
async fn a_busy_service_says_so_and_recovers() {
    let service = Service::with(|config| config.limits.in_flight_requests = 1).await;
    let mut slow = TcpStream::connect(service.address).await.expect("connects");
    let body = view("slow").to_string();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.expect("writes");
    let mut begun = [0; 25];
    slow.read_exact(&mut begun).await.expect("it is let in");
    assert!(begun.starts_with(b"HTTP/1.1 100 Continue"));
    service.send("application/json", view("turned away").to_string()).await.problem(503, "busy");
    slow.write_all(body.as_bytes()).await.expect("writes");
    let mut response = String::new();
    slow.read_to_string(&mut response).await.expect("reads");
    assert!(response.starts_with("HTTP/1.1 202 "), "{response}");
    service.send("application/json", view("later").to_string()).await.accepted(1);
    assert_eq!(ids(&service.log().await), BTreeSet::from(["slow", "later"]));
    service.stop().await;
}

#[tokio::test]
async fn many_senders_share_batches() {
    let service = Service::start().await;
    let send = async |sender: usize| {
        for n in 0..20 {
            let mut event = view(&format!("{sender}-{n}"));
            event["subject"] = format!("customer-{sender}").into();
            service.send("application/cloudevents+json", event.to_string()).await.accepted(1);
        }
    };
    futures::future::join_all((0..50).map(send)).await;
    let log = service.log().await;
    assert_eq!((log.len(), ids(&log).len()), (1000, 1000));
    // A large request is cut into batches; each sender's order is kept.
    let large: Vec<Value> = (0..5000).map(|n| view(&format!("large-{n:04}"))).collect();
    service.send("application/cloudevents-batch+json", json!(large).to_string()).await.accepted(5000);
    let log = service.log().await;
    let stored: Vec<&Value> =
        log.iter().filter(|event| event["id"].as_str().is_some_and(|id| id.starts_with("large"))).collect();
    assert!(stored.iter().copied().eq(&large));
    let batches: Vec<tidemill_events::RawBatch> = support::stored(&service.nats).await;
    assert!(batches.iter().all(|batch| batch.lines.len() <= 256 << 10));
    let metrics = service.metrics().await;
    assert!(metrics.contains("tidemill_ingestion_events_total{outcome=\"accepted\"} 6000"), "{metrics}");
    assert!(batches.len() < 1000, "{} batches", batches.len());
    service.stop().await;
}

#[tokio::test]
async fn without_the_log_nothing_is_promised() {
    let mut service = Service::with(|config| config.publish.deadline_ms = 500).await;
    service.send("application/cloudevents+json", view("before").to_string()).await.accepted(1);
    service.nats.server.kill().await;
    service.send("application/cloudevents+json", view("during").to_string()).await.problem(503, "log_unavailable");
    service.send("application/cloudevents+json", "{").await.problem(503, "log_unavailable");
    service.nats.server.restart().await.expect("restarts");
    tidemill_testkit::eventually("the retry is taken in", support::DEADLINE, || async {
        let answer = service.send("application/cloudevents+json", view("during").to_string()).await;
        (answer.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    assert_eq!(ids(&service.log().await), BTreeSet::from(["before", "during"]));
    service.stop().await;
}

#[tokio::test]
async fn a_short_outage_is_waited_out_and_written_once() {
    let mut service = Service::with(|config| config.publish.deadline_ms = 20_000).await;
    service.send("application/cloudevents+json", view("before").to_string()).await.accepted(1);
    service.nats.server.kill().await;
    let request =
        service.post("/v1/events").header("content-type", "application/json").body(view("during").to_string());
    let waiting = tokio::spawn(answer(request));
    tidemill_testkit::eventually("a first attempt fails", support::DEADLINE, || async {
        (!service.metrics().await.contains("publish_failures_total 0\n")).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    service.nats.server.restart().await.expect("restarts");
    waiting.await.expect("an answer").accepted(1);
    let log = service.log().await;
    assert_eq!((log.len(), ids(&log)), (2, BTreeSet::from(["before", "during"])));
    service.stop().await;
}

#[tokio::test]
async fn the_interface_is_described() {
    let service = Service::start().await;
    let described = answer(service.client.get(format!("http://{}/openapi.json", service.address))).await.body;
    for path in ["/v1/events", "/v1/track", "/v1/batch", "/v1/identify", "/v1/p", "/v1/b"] {
        let post = &described["paths"][path]["post"];
        for status in ["202", "400", "401", "403", "413", "415", "422", "429", "503"] {
            assert!(post["responses"][status].is_object(), "{path} {status}");
        }
    }
    let forms = described["paths"]["/v1/events"]["post"]["requestBody"]["content"].as_object().expect("forms");
    assert_eq!(forms.len(), 5);
    assert_eq!(described["components"]["schemas"]["CloudEvent"]["required"], json!(["source", "type"]));
    service.stop().await;
}

/// By itself, while all other streams are there.
#[tokio::test]
async fn a_log_that_is_deleted_is_made_anew_and_written_to() {
    let service = Service::start().await;
    service.send("application/json", view("before").to_string()).await.accepted(1);
    let answer = tidemill_testkit::jetstream(&service.nats.url(), "STREAM.DELETE.RAW", "").await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    // The request waits for it, as it does for a server that is away.
    service.send("application/json", view("after").to_string()).await.accepted(1);
    assert_eq!(ids(&service.log().await), ["after"].into());
    let ready = async || service.context.health.is_ready().then_some(());
    tidemill_testkit::eventually("it is ready", support::DEADLINE, ready).await;
    // Nothing is sent, and all the same it is there soon.
    tidemill_testkit::jetstream(&service.nats.url(), "STREAM.DELETE.RAW", "").await;
    let there = async || {
        let info = tidemill_testkit::jetstream(&service.nats.url(), "STREAM.INFO.RAW", "").await;
        info.contains("tidemill_partitions").then_some(())
    };
    tidemill_testkit::eventually("it is there", support::DEADLINE, there).await;
    service.stop().await;
}
