//! How fast the log is counted once more: `cargo bench --package tidemill --bench replay`.
//!
//! Orders of one line each lie in the log of a real nats-server, in batches as ingestion
//! makes them under load. A replay counts them into SQLite stores, with the built-in
//! metrics, while a reader takes what it publishes. `REPLAY_EVENTS` says how many.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on ends, and says what it measures"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tidemill::replay::{LakePatience, Replay, ReplayRequest, ReplaySettings, ReplayStart, ReplayUntil};
use tidemill_bus::Bus;
use tidemill_domain::{Clock, Partition, SystemClock, Timestamp};
use tidemill_enrichment::measured::MeasuredPartition;
use tidemill_events::{Durable, RawBatch, ReferenceMode};
use tidemill_testkit::{TestNats, tempdir};
use tokio_util::sync::CancellationToken;

const EVENTS_IN_BATCH: u64 = 400;
const MINUTE: i64 = 60_000;

fn main() {
    // `cargo test` runs it too, to see that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let default = if is_test { 8_000 } else { 2_000_000 };
    let events = std::env::var("REPLAY_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(events));
}

async fn measure(events: u64) {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let store = |name: &str| format!("sqlite://{}/{name}", folder.path().display());
    let common = format!("[http]\nlisten = '127.0.0.1:0'\n[auth]\nopen = true\n[nats]\nurl = '{}'\n", nats.url());
    let of = |name: &str| format!("{common}[store]\nurl = '{}.db'\n", store(name));
    let enrichment: tidemill_enrichment::Config = tidemill_service::config::parse(&of("enrichment")).expect("settings");
    let aggregation = of("aggregation") + "[metrics_store]\nkind = 'builtin'\n";
    let aggregation: tidemill_aggregation::Config = tidemill_service::config::parse(&aggregation).expect("settings");
    let bus = Bus::connect(&aggregation.nats, "bench").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    // The live store, of which the replay reads the reference data.
    let products: Vec<_> = (0..200).map(|n| (format!("p-{n}"), format!("category-{}", n % 20))).collect();
    drop(MeasuredPartition::open(folder.path(), &products).await);
    fill(&bus, events).await;
    let reader = tokio::spawn(read(bus.clone()));
    let stores = tidemill_store::Config { url: store("generations"), max_connections: 4 };
    let settings = ReplaySettings { enrichment, aggregation, alert: None, stores, lake: None };
    let name: tidemill_domain::GenerationName = "v2".parse().expect("a name");
    let replay = Replay::open(settings, name.clone()).await.expect("opens");
    let now = SystemClock.now();
    let (from, reference) = (ReplayStart::First, ReferenceMode::AsOf);
    let request = ReplayRequest { name, from, definitions: None, rules: None, reference, now };
    let plan = replay.plan(&request, 0, LakePatience::silent(Duration::from_secs(30))).await.expect("a plan");
    replay.begin(&plan, 0).await.expect("begins");
    let (begun, before) = (Instant::now(), cpu_seconds());
    let mut counted = 0;
    let told = |told: &tidemill::replay::ReplayTold| counted = told.events;
    let stop = CancellationToken::new();
    replay.run(&ReplayUntil::CaughtUp, &replay.partitions(), &stop, told).await.expect("runs");
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - before);
    assert_eq!(counted, events, "each event once");
    reader.abort();
    let a_million = cpu * 1e6 / events as f64;
    println!(
        "{events} events in {seconds:.2} s: {:.0} events/s; {a_million:.2} CPU seconds a million",
        events as f64 / seconds
    );
}

/// Orders in batches, over all partitions.
async fn fill(bus: &Bus, events: u64) {
    let partitions: Vec<Partition> = bus.partitions().all().collect();
    let begin = SystemClock.now().plus_millis(-24 * 60 * MINUTE);
    let mut first = 0;
    while first < events {
        let count = EVENTS_IN_BATCH.min(events - first);
        let partition = partitions[usize::try_from(first / EVENTS_IN_BATCH).expect("fits") % partitions.len()];
        let lines: String = (first..first + count).map(|n| order(n, begin, events)).collect();
        let batch = RawBatch {
            batch_id: uuid::Uuid::from_u128(first.into()),
            partition,
            ingested_at: begin.plus_millis(i64::try_from(first / 100).expect("fits")),
            sources: BTreeMap::from([("shop".into(), u32::try_from(count).expect("fits"))]),
            redriven: Vec::new(),
            lines: lines.into(),
            trace: None,
        };
        bus.publish(&batch).await.expect("is published");
        first += count;
    }
}

/// An order of one line. A day of the shop goes by.
fn order(n: u64, begin: Timestamp, events: u64) -> String {
    let time = begin.plus_millis(i64::try_from(n * 1440 / events).expect("fits") * MINUTE);
    format!(
        r#"{{"specversion":"1.0","id":"e-{n}","source":"shop","type":"order.placed","time":"{time}","subject":"c-{}","partitionkey":"o-{n}","data":{{"order_id":"o-{n}","items":[{{"product_id":"p-{}","quantity":{},"unit_price":"10.50"}}],"currency":"EUR","country":"DE"}}}}"#,
        n % 5000,
        n % 200,
        1 + n % 3
    ) + "\n"
}

/// Reads what the replay publishes, as reporting does.
async fn read(bus: Bus) {
    let mut subscription = bus.subscribe_behind(Durable::ReportingGenerations, 0).await.expect("subscribes");
    loop {
        let chunk = subscription.next_chunk(64).await.expect("messages");
        if let Some(last) = chunk.last() {
            last.ack().await.expect("is acknowledged");
        }
    }
}

/// What this process has used of the processors.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // User and system time, in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}
