//! A log, or a stream of it, that is made anew.

use serde_json::{Value as Json, json};
use tidemill_events::StreamName;
use tidemill_testkit::{Postgres, eventually, jetstream, skipped, try_eventually};

use crate::shop::{DEADLINE, Running, Shop, batch, cell, letter, update};

const TOTALS: &str = "/v1/metrics/sales_metrics/totals?group_by=category";

/// What readiness says of the streams, once it is about these.
async fn foreign(running: &Running, stream: &str) -> String {
    try_eventually("another log is told of", DEADLINE, async || {
        let answer: Json = running.get("/readyz").send().await.expect("answers").json().await.expect("JSON");
        let told = answer["problems"]["stream"].as_str().unwrap_or_default().to_owned();
        if told.contains(stream) && told.contains("foreign_log") { Ok(told) } else { Err(answer) }
    })
    .await
}

async fn another_log_is_not_taken_for_done(store: impl Fn(&Shop) -> String) {
    let mut shop = Shop::open().await;
    let running = shop.replica(&store(&shop), "").await;
    for id in 1..=3 {
        shop.bus.publish(&batch(id, 0, 2)).await.expect("publishes");
    }
    running.until("/v1/books", |books| books["totals"]["received"] == 6).await;
    shop.nats.lose_disk().await;
    eventually("streams", DEADLINE, async || shop.bus.ensure_topology().await.ok()).await;
    let told = foreign(&running, "log: ").await;
    assert!(told.contains("RAW ends at 0, before 3 that was done"), "{told}");
    shop.bus.publish(&batch(9, 0, 2)).await.expect("publishes");
    shop.bus.publish(&update(0, 1, vec![cell(0, "Books", "EU", 6, 9050)])).await.expect("publishes");
    foreign(&running, "log: ").await;
    // What it knows it still says, and nothing of the new log.
    assert_eq!(running.json("/v1/books").await["totals"]["received"], 6);
    assert_eq!(running.json(TOTALS).await["rows"], json!([]));

    // Behind the old one, the new log is gone on with.
    jetstream(&shop.nats.url(), "STREAM.PURGE.RAW", r#"{"seq":1000000000}"#).await;
    shop.bus.publish(&batch(10, 0, 2)).await.expect("publishes");
    running.until("/v1/books", |books| books["totals"]["received"] == 8).await;
    running.until(TOTALS, |answer| answer["rows"].as_array().is_some_and(|rows| rows.len() == 1)).await;
    running.stop().await;
}

#[tokio::test]
async fn another_log_is_not_taken_for_done_on_sqlite() {
    another_log_is_not_taken_for_done(Shop::sqlite).await;
}

#[tokio::test]
async fn another_log_is_not_taken_for_done_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("another_log_is_not_taken_for_done_on_postgresql", "no PostgreSQL is installed");
    };
    another_log_is_not_taken_for_done(|_| postgres.url()).await;
}

#[tokio::test]
async fn another_stream_of_dead_letters_is_not_taken_for_done() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    for id in ["a", "b"] {
        shop.bus.publish(&letter(id, "ingestion", "{}")).await.expect("stored");
    }
    running.until("/v1/books", |books| books["totals"]["dead_lettered"] == 2).await;
    jetstream(&shop.nats.url(), "STREAM.DELETE.DLQ", "").await;
    shop.bus.ensure_topology().await.expect("streams");
    shop.bus.publish(&letter("c", "ingestion", "{}")).await.expect("stored");
    let told = foreign(&running, "dead-letters: ").await;
    assert!(told.contains("DLQ ends at "), "{told}");
    // The other streams go on.
    shop.bus.publish(&batch(1, 0, 6)).await.expect("stored");
    running.until("/v1/books", |books| books["totals"]["accepted"] == 6).await;
    running.stop().await;
}

async fn metrics_that_lost_their_end_are_read_from_there(store: impl Fn(&Shop) -> String) {
    let shop = Shop::open().await;
    let store = store(&shop);
    let running = shop.replica(&store, "").await;
    let orders = async |running: &Running, category: &'static str, orders: u64| {
        let is_there = move |answer: &Json| {
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            rows.iter().any(|row| row["dimensions"]["category"] == category && row["values"]["orders"] == orders)
        };
        running.until(TOTALS, is_there).await
    };
    let publish = async |raw_seq: u64, category: &'static str, orders: u64| {
        let update = update(0, raw_seq, vec![cell(0, category, "EU", orders, 9050)]);
        shop.bus.publish(&update).await.expect("publishes")
    };
    for raw_seq in 1..=9 {
        publish(raw_seq, "Books", raw_seq).await;
    }
    orders(&running, "Books", 9).await;
    // As after a loss of power: the stream ends earlier, and its writer tells it more shortly.
    jetstream(&shop.nats.url(), "STREAM.DELETE.METRICS", "").await;
    shop.bus.ensure_topology().await.expect("streams");
    let reached = async || shop.bus.lag(tidemill_events::Durable::ReportingMetrics).await.ok();
    eventually("the stream is read again", DEADLINE, async || reached().await).await;
    publish(9, "Books", 9).await;
    publish(10, "Games", 4).await;
    orders(&running, "Games", 4).await;
    orders(&running, "Books", 9).await;
    running.stop().await;
    assert_eq!(shop.bus.end(StreamName::Metrics).await.expect("answers"), 2);
    // And by who starts.
    let running = shop.replica(&store, "").await;
    publish(11, "Games", 5).await;
    orders(&running, "Games", 5).await;
    running.stop().await;
}

#[tokio::test]
async fn metrics_that_lost_their_end_are_read_from_there_on_sqlite() {
    metrics_that_lost_their_end_are_read_from_there(Shop::sqlite).await;
}

#[tokio::test]
async fn metrics_that_lost_their_end_are_read_from_there_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("metrics_that_lost_their_end_are_read_from_there_on_postgresql", "no PostgreSQL is installed");
    };
    metrics_that_lost_their_end_are_read_from_there(|_| postgres.url()).await;
}
