//! The service as a process: it works on a real NATS, and SIGTERM drains it.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, MetricsUpdate};
use tidemill_testkit::{TempDir, TestNats, eventually, tempdir};
use tidemill_totals::Value;

const DEADLINE: Duration = Duration::from_secs(60);

fn batch(raw_seq: u64, raw_prev: u64, price: &str) -> EnrichedBatch {
    let line = format!(
        r#"{{"specversion":"1.0","id":"{raw_seq}","source":"shop","type":"order.placed","time":"2026-01-02T03:04:05Z","subject":"c","data":{{"order_id":"o{raw_seq}","items":[{{"product_id":"p","quantity":2,"unit_price":{price}}}]}},"enriched":{{"refdata":1,"region":"Europe","items":[{{"category":"Books"}}]}}}}"#
    );
    EnrichedBatch {
        partition: Partition::new(2),
        raw_seq,
        raw_prev,
        ingested_at: Timestamp::saturating_from_millis(1_767_323_045_000),
        refdata: 1,
        count: 1,
        lines: (line + "\n").into(),
        trace: None,
    }
}

fn service(nats: &TestNats, folder: &TempDir) -> Child {
    let path = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    Command::new(env!("CARGO_BIN_EXE_tidemill-aggregation"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_STORE__URL", path("store"))
        .env("TIDEMILL_METRICS_STORE__KIND", "builtin")
        .env("TIDEMILL_METRICS_STORE__URL", path("metrics"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the service starts")
}

async fn terminated(mut service: Child) -> i32 {
    let asked = Command::new("kill").args(["-TERM", &service.id().to_string()]).status().expect("kill runs");
    assert!(asked.success());
    let status =
        eventually("the service drains", DEADLINE, || std::future::ready(service.try_wait().ok().flatten())).await;
    status.code().unwrap_or(-1)
}

/// The totals of the first update with this revenue.
async fn revenue(bus: &Bus, expected: &str) -> BTreeMap<String, Value> {
    nth_revenue(bus, expected, 1).await
}

/// The totals of the nth update with this revenue, counted from the stream's
/// start.
async fn nth_revenue(bus: &Bus, expected: &str, nth: usize) -> BTreeMap<String, Value> {
    let mut subscription = bus.subscribe(Durable::ReportingMetrics).await.expect("subscribes");
    let mut seen = 0;
    loop {
        let delivery = tokio::time::timeout(DEADLINE, subscription.next()).await.expect("in time").expect("a message");
        let update: MetricsUpdate = delivery.decode().expect("an update");
        for cell in update.cells.iter().filter(|cell| cell.metric == "sales_metrics") {
            let names = ["customers", "orders", "quantity", "revenue"].map(String::from);
            let values: BTreeMap<_, _> = names.into_iter().zip(cell.totals.0.iter().map(|m| m.value())).collect();
            if values["revenue"] == Value::Amount(expected.parse().expect("an amount")) {
                assert_eq!(cell.dimensions["category"], "Books");
                seen += 1;
                if seen == nth {
                    return values;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_go_on_over_a_restart_and_repetitions_change_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus =
        Bus::connect(&tidemill_bus::Config { url: nats.url(), ..Default::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    let first = service(&nats, &folder);
    bus.publish(&batch(3, 0, "1.005")).await.expect("publishes");
    revenue(&bus, "2.01").await;
    assert_eq!(terminated(first).await, 0, "an orderly end");

    // While nobody listens: a batch, and the first one again.
    bus.publish(&batch(8, 3, "10")).await.expect("publishes");
    let mut again = batch(3, 0, "1.005");
    again.lines = format!("{}\n", String::from_utf8_lossy(&again.lines)).into();
    bus.publish(&again).await.expect("publishes");
    let second = service(&nats, &folder);
    let values = revenue(&bus, "22.01").await;
    assert_eq!((&values["orders"], &values["customers"]), (&Value::Count(2), &Value::Count(1)));
    eventually("everything is acknowledged", DEADLINE, || async {
        (bus.lag(Durable::Aggregation(Partition::new(2))).await.ok() == Some(0)).then_some(())
    })
    .await;
    assert_eq!(terminated(second).await, 0, "an orderly end");

    // The stream's end says less than the checkpoint, as after a power cut.
    let old = MetricsUpdate {
        partition: Partition::new(2),
        raw_seq: 3,
        part: 0,
        as_of: Timestamp::EPOCH,
        watermark: Some(Timestamp::EPOCH),
        idle: false,
        cells: Vec::new(),
        books: Vec::new(),
        trace: None,
    };
    bus.publish(&old).await.expect("publishes");
    let third = service(&nats, &folder);
    assert_eq!(nth_revenue(&bus, "22.01", 2).await, values, "what is missing is published again");
    assert_eq!(terminated(third).await, 0, "an orderly end");
}
