//! Reference data in bulk costs what it weighs: the real binary, with the worst
//! bodies that are known, eight of each at once, stays under the memory that
//! the chart gives it.

use std::{fmt::Write, time::Duration};

use futures::future::join_all;
use serde_json::Value;
use tidemill_testkit::{TestNats, eventually, memory_limit, peak_memory, skipped_even_in_ci, tempdir};
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 8;
/// The largest body.
const BODY: usize = 8 << 20;

/// Bodies, each with a status that somebody is to get.
fn worst() -> Vec<(&'static str, String, u16)> {
    let deep = |item: &str| format!("{{\"id\":\"x\",\"a\":[{item}{}]}}", format!(",{item}").repeat(15_000));
    let mut wide = String::new();
    for n in 0..8000 {
        write!(wide, "{{\"id\":\"{n}\"").expect("writes to memory");
        (0..32).for_each(|a| write!(wide, ",\"a{a}\":\"some text {a}\"").expect("writes to memory"));
        wide.push_str("}\n");
    }
    assert!(wide.len() < BODY);
    vec![
        ("lines without end", "1\n".repeat(BODY / 2), 413),
        ("as many failures as records", "1\n".repeat(100_000), 422),
        ("one line", format!("{{\"id\":\"x\",\"a\":[1{}]}}", ",1".repeat(BODY / 2 - 20)), 422),
        ("arrays of arrays", format!("{}\n", deep("[1]")).repeat(BODY / (64 << 10)), 422),
        ("many attributes", wide, 200),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_bodies_that_are_known_fit_the_memory_of_a_pod() {
    let limit = memory_limit("enrichment");
    let (nats, folder) = (TestNats::start().await, tempdir());
    let log = folder.path().join("log");
    let program = Command::new(env!("CARGO_BIN_EXE_tidemill-enrichment"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_NATS__PARTITIONS", "1")
        .env("TIDEMILL_STORE__URL", format!("sqlite://{}/enrichment.db", folder.path().display()))
        .env("TIDEMILL_AUTH__OPEN", "true")
        .env("TIDEMILL_TELEMETRY__LOG_FORMAT", "json")
        .stderr(std::fs::File::create(&log).expect("makes a file"))
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let pid = program.id().expect("it runs");
    if peak_memory(pid).is_none() {
        return skipped_even_in_ci("weight", "only Linux tells how much memory a process has had");
    }
    let address = eventually("it serves", DEADLINE, || async {
        let text = std::fs::read_to_string(&log).expect("reads");
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.iter().find(|line| line["message"] == "serving")?;
        lines.iter().find_map(|line| line["address"].as_str().map(str::to_owned))
    })
    .await;
    tidemill_service::install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE * 4).build().expect("a client");
    for (what, body, expected) in worst() {
        let send = || async {
            let request = client.post(format!("http://{address}/v1/reference/products"));
            let answer =
                request.header("content-type", "application/x-ndjson").body(body.clone()).send().await.expect(what);
            let status = answer.status().as_u16();
            (status, answer.bytes().await.expect(what).len())
        };
        let answers = join_all((0..AT_ONCE).map(|_| send())).await;
        let peak = peak_memory(pid).expect("it runs");
        let seen = format!("{what}: {answers:?}, {} MiB so far", peak >> 20);
        println!("{seen}");
        // A quarter of its limit, at most: the rest is for events.
        assert!(peak < limit / 4, "{seen}");
        assert!(answers.iter().any(|(status, _)| *status == expected), "{seen}");
        assert!(answers.iter().all(|(status, _)| *status == expected || *status == 503), "{seen}");
        assert!(answers.iter().all(|(_, length)| *length < 1 << 20), "{seen}");
    }
}
