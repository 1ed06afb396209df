//! A request costs what it weighs: the real binary, with the worst bodies that
//! are known, eight of each at once, stays under the memory that the chart
//! gives it.

mod support;

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use futures::future::join_all;
use serde_json::Value;
use support::DEADLINE;
use tidemill_testkit::{TestNats, memory_limit, peak_memory, skipped_even_in_ci};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const AT_ONCE: usize = 8;
/// As `limits.wire_bytes`, `limits.inflated_bytes` and `limits.event_bytes`
/// have them by default.
const WIRE: usize = 5 << 20;
const INFLATED: usize = 32 << 20;
const EVENT: usize = 64 << 10;
/// Of bodies whose events are dear to validate, one by one: larger ones are only
/// slower.
const DEAR: usize = 2 << 20;
/// Of bodies that grow when they are written out.
const GROWING: usize = 4 << 20;

struct Body {
    what: &'static str,
    content_type: &'static str,
    path: &'static str,
    bytes: Vec<u8>,
}

/// A body of `/v1/events`, compressed so that it fits the wire.
fn body(what: &'static str, content_type: &'static str, plain: &[u8]) -> Body {
    assert!(plain.len() <= INFLATED, "{what}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let bytes = encoder.write_all(plain).and_then(|()| encoder.finish()).expect("writes to memory");
    assert!(bytes.len() <= WIRE, "{what}");
    Body { what, content_type, path: "/v1/events", bytes }
}

/// `item`, again and again within `open` and `close`, up to a size.
fn filled(open: &str, item: &str, close: &str, bytes: usize) -> String {
    let room = bytes - open.len() - close.len();
    format!("{open}{}{}{close}", format!("{item},").repeat(room / (item.len() + 1) - 1), item)
}

/// An event of a type and so many bytes, whose data begins and ends so.
fn event(bytes: usize, kind: &str, open: &str, item: &str, close: &str) -> String {
    let open = format!(r#"{{"source":"s","type":"{kind}","data":{{{open}"#);
    filled(&open, item, &format!("{close}}}}}"), bytes)
}

fn lines(bytes: usize, event: &str) -> String {
    format!("{event}\n").repeat(bytes / (event.len() + 1))
}

fn worst() -> Vec<Body> {
    const JSON: &str = "application/json";
    const NDJSON: &str = "application/x-ndjson";
    let view = r#""product_id":"p","x":["#;
    let mut strangers = String::new();
    for n in 0..10_000 {
        let name = "n".repeat(80);
        writeln!(strangers, r#"{{"id":"{n}{name}","source":"{n}{name}","type":"{n}.{name}"}}"#)
            .expect("writes to memory");
    }
    let mut distinct = String::new();
    for n in 0..10_000 {
        writeln!(distinct, r#"{{"id":"{n}","source":"s","type":"none","x":"{}"}}"#, "x".repeat(3200))
            .expect("writes to memory");
    }
    let wrong: String = (0..2400).map(|n| format!(r#""{n}-":[],"#)).collect();
    let empty =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()).finish().expect("writes to memory");
    let key = format!(r#"{{"{}":1,"batch":[{{}}]}}"#, r"\u0000".repeat((INFLATED - 100) / 6));
    vec![
        body("events without end", JSON, filled("[", "1", "]", INFLATED).as_bytes()),
        body("lines without end", NDJSON, "1\n".repeat(INFLATED / 2).as_bytes()),
        Body {
            path: "/v1/batch",
            ..body("calls without end", JSON, filled(r#"{"batch":["#, "1", "]}", INFLATED).as_bytes())
        },
        Body { path: "/v1/batch", ..body("a key as long as a body", JSON, key.as_bytes()) },
        body("as many failures as events", NDJSON, strangers.as_bytes()),
        body("one failure of many bodies", NDJSON, distinct.as_bytes()),
        body("attributes that are none", NDJSON, lines(DEAR, &format!("{{{}\"id\":\"1\"}}", wrong)).as_bytes()),
        body(
            "arrays of arrays",
            NDJSON,
            lines(DEAR, &event(EVENT - 200, "product.viewed", view, "[1]", "]")).as_bytes(),
        ),
        body("objects", NDJSON, lines(DEAR, &event(EVENT - 200, "product.viewed", view, r#"{"a":1}"#, "]")).as_bytes()),
        body(
            "items that break their schema",
            NDJSON,
            lines(DEAR, &event(EVENT - 200, "order.placed", r#""order_id":"o","items":["#, "{}", "]")).as_bytes(),
        ),
        // Written out, each number is three times as long.
        body(
            "numbers that grow",
            NDJSON,
            lines(GROWING, &event(EVENT / 4, "product.viewed", view, "1e15", "]")).as_bytes(),
        ),
        Body {
            what: "members that hold nothing",
            content_type: JSON,
            path: "/v1/events",
            bytes: empty.repeat(WIRE / empty.len()),
        },
    ]
}

/// The program, and where it listens.
async fn start(nats: &TestNats) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_tidemill-ingestion"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_AUTH__OPEN", "true")
        .env("TIDEMILL_PUBLISH__DEADLINE_MS", "20000")
        .env("TIDEMILL_TELEMETRY__LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut log = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    let mut address = String::new();
    let serving = async {
        loop {
            let line = log.next_line().await.expect("reads").expect("the process runs");
            let line: Value = serde_json::from_str(&line).expect("logs are JSON");
            match line["message"].as_str() {
                Some("listening") => address = line["address"].as_str().expect("an address").to_owned(),
                Some("serving") => break,
                _ => {}
            }
        }
    };
    timeout(DEADLINE, serving).await.expect("serves");
    // Whoever does not read a log holds its writer up.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    (process, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_bodies_that_are_known_fit_the_memory_of_a_pod() {
    let limit = memory_limit("ingestion");
    let nats = TestNats::start().await;
    let (process, address) = start(&nats).await;
    let pid = process.id().expect("it runs");
    if peak_memory(pid).is_none() {
        return skipped_even_in_ci("weight", "only Linux tells how much memory a process has had");
    }
    tidemill_service::install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE * 4).build().expect("a client");
    for Body { what, content_type, path, bytes } in worst() {
        let send = || async {
            let request = client.post(format!("http://{address}{path}")).header("content-type", content_type);
            let answer = request.header("content-encoding", "gzip").body(bytes.clone()).send().await.expect(what);
            let status = answer.status().as_u16();
            (status, answer.bytes().await.expect(what).len())
        };
        let begun = std::time::Instant::now();
        let answers = join_all((0..AT_ONCE).map(|_| send())).await;
        let peak = peak_memory(pid).expect("it runs");
        let seen = format!("{what}: {answers:?}, {} MiB so far, {:?}", peak >> 20, begun.elapsed());
        println!("{seen}");
        assert!(peak < limit, "{seen}");
        // Busy is an honest answer, as long as somebody gets another one.
        assert!(answers.iter().all(|(status, _)| matches!(status, 202 | 400..=499 | 503)), "{seen}");
        assert!(answers.iter().any(|(status, _)| *status != 503), "{seen}");
        assert!(answers.iter().all(|(_, length)| *length < 1 << 20), "{seen}");
    }
}
