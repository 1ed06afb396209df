//! Several replicas on one PostgreSQL.

use crate::{
    live::Reader,
    service::{Broken, trade},
    shop::{DEADLINE, HOSTILE, Running, Shop, batch, cell, outcomes, transition, update},
};
use serde_json::{Value as Json, json};
use tidemill_events::{AlertState, DeadLetter, MetricsUpdate};
use tidemill_testkit::{Postgres, skipped, try_eventually};

const TOTALS: &str = "/v1/metrics/sales_metrics/totals?group_by=category,region";

/// The streams that a replica follows, by what it says of its consumers.
async fn units(running: &Running) -> u64 {
    let metrics = running.get("/metrics").send().await.expect("metrics").text().await.expect("text");
    let line = metrics.lines().find_map(|line| line.strip_prefix("tidemill_ownership_units ")).expect("it says so");
    line.parse().expect("a number")
}

async fn share(replicas: &[&Running]) {
    try_eventually("each stream is followed by one", DEADLINE, async || {
        let mut units = Vec::new();
        for replica in replicas {
            units.push(self::units(replica).await);
        }
        if units.iter().sum::<u64>() == 5 && units.iter().all(|n| *n > 0) { Ok(()) } else { Err(units) }
    })
    .await;
}

#[tokio::test]
async fn every_replica_is_fresh_and_live_whoever_follows() {
    let Some(server) = Postgres::start().await else {
        return skipped("every_replica_is_fresh_and_live_whoever_follows", "no PostgreSQL is installed");
    };
    let shop = Shop::open().await;
    let url = server.url();
    // At once, on an empty database: one of them makes the schema.
    let (one, other) = tokio::join!(shop.replica(&url, ""), shop.replica(&url, ""));
    share(&[&one, &other]).await;
    let mut readers = [Reader::open(&one, None).await, Reader::open(&other, None).await];
    trade(&shop.bus).await;
    for reader in &mut readers {
        let seen = reader.until(|seen| seen.event == "metrics").await;
        assert_eq!(seen.data["metric"], "sales_metrics");
        reader.until(|seen| seen.event == "books" && crate::service::is_traded(&seen.data)).await;
    }
    let fired = transition(1, AlertState::Firing, 1);
    shop.bus.publish(&fired).await.expect("stored");
    for reader in &mut readers {
        assert_eq!(reader.until(|seen| seen.event == "alert").await.data["title"], HOSTILE);
    }
    let rows = one.json(TOTALS).await["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
    assert_eq!(other.json(TOTALS).await["rows"], rows);
    for replica in [&one, &other] {
        let totals = replica.until(TOTALS, |answer| answer["watermark"] != Json::Null).await;
        assert_eq!(totals["watermark"], json!(crate::shop::at(2 * crate::shop::MINUTE)));
        assert_eq!(replica.json("/readyz").await["ready"], true);
    }

    // One goes: the other takes over and leaves nothing out.
    drop(readers);
    one.stop().await;
    share(&[&other]).await;
    let raw = shop.bus.publish(&batch(9, 0, 3)).await.expect("stored").sequence;
    let books = vec![outcomes(8, 1, 1)];
    let more = MetricsUpdate { books, ..update(0, raw, vec![cell(0, HOSTILE, "EU", 6, 9050)]) };
    shop.bus.publish(&more).await.expect("stored");
    let books = other.until("/v1/books", |books| books["totals"]["received"] == 15).await;
    assert_eq!(books["totals"]["accepted"], 13);
    other.until("/v1/books", |books| books["totals"]["counted"] == 11).await;
    // And one joins: it takes its share.
    let third = shop.replica(&url, "").await;
    share(&[&other, &third]).await;
    shop.bus.publish(&batch(10, 1, 2)).await.expect("stored");
    for replica in [&other, &third] {
        replica.until("/v1/books", |books| books["totals"]["received"] == 17).await;
    }
    other.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_is_not_drained_into_the_dead_letters() {
    let shop = Shop::open().await;
    let running = shop.report("[dead_letters]\ntolerated = 20\n").await;
    for n in 0..30 {
        shop.bus.publish(&Broken(n)).await.expect("stored");
    }
    try_eventually("readiness says so", DEADLINE, async || {
        let answer: Json = running.get("/readyz").send().await.expect("answers").json().await.expect("JSON");
        let told = answer["problems"]["stream"].as_str().unwrap_or_default().to_owned();
        if told.starts_with("metrics: ") && told.contains("halted") { Ok(()) } else { Err(answer) }
    })
    .await;
    assert!(shop.bus.message_at::<DeadLetter>(20).await.expect("reads").is_some());
    assert!(shop.bus.message_at::<DeadLetter>(21).await.expect("reads").is_none(), "it halts after twenty");
    // The other streams go on.
    shop.bus.publish(&batch(1, 0, 6)).await.expect("stored");
    running.until("/v1/books", |books| books["totals"]["accepted"] == 6).await;
    running.stop().await;
}
