//! A read model that was lost, or is older than the streams.

use serde_json::{Value as Json, json};
use tidemill_testkit::{tempdir, try_eventually};

use crate::{
    redrive::{accept, stands},
    shop::{DEADLINE, Shop, batch, letter},
};

/// The files of a SQLite database.
const FILES: [&str; 3] = ["r.db", "r.db-wal", "r.db-shm"];

fn lose(shop: &Shop) {
    for file in FILES {
        let _ = std::fs::remove_file(shop.folder.path().join(file));
    }
}

/// Settled by the log alone: the order went out from a database that is gone.
#[tokio::test]
async fn a_lost_read_model_is_made_anew_from_the_streams() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    crate::service::trade(&shop.bus).await;
    let before = running.until("/v1/books", crate::service::is_traded).await;
    let totals = "/v1/metrics/sales_metrics/totals?group_by=category,region";
    let rows = running.json(totals).await["rows"].clone();
    accept(&shop.bus, 9, vec![1]).await;
    stands(&running, 1, "accepted").await;
    running.stop().await;
    lose(&shop);
    let running = shop.report("").await;
    try_eventually("the read model is as it was", DEADLINE, async || {
        let answer = running.json(totals).await["rows"].clone();
        if answer == rows { Ok(()) } else { Err(answer) }
    })
    .await;
    let received = before["totals"]["received"].as_u64().expect("a count") + 1;
    running.until("/v1/books", |books| books["totals"]["received"] == received).await;
    stands(&running, 1, "accepted").await;
    running.stop().await;
}

/// NATS takes for done what a restored read model knows nothing of, and nothing
/// more comes that would show it.
#[tokio::test]
async fn a_read_model_restored_from_a_backup_catches_up_with_the_streams() {
    let (shop, backup) = (Shop::open().await, tempdir());
    for (id, events, received) in [(1, 3, 3), (2, 4, 7)] {
        let running = shop.report("").await;
        shop.bus.publish(&batch(id, 0, events)).await.expect("publishes");
        running.until("/v1/books", |books| books["totals"]["received"] == received).await;
        running.stop().await;
        for file in FILES.iter().filter(|_| id == 1) {
            let _ = std::fs::copy(shop.folder.path().join(file), backup.path().join(file));
        }
    }
    lose(&shop);
    for file in FILES {
        let _ = std::fs::copy(backup.path().join(file), shop.folder.path().join(file));
    }
    let running = shop.report("").await;
    running.until("/v1/books", |books| books["totals"]["received"] == 7).await;
    running.stop().await;
}

/// Letters that were discarded left holes in the stream.
#[tokio::test]
async fn a_lost_read_model_is_made_anew_over_holes_in_the_stream() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    for id in ["a", "d", "e", "f"] {
        shop.bus.publish(&letter(id, "ingestion", "{}")).await.expect("stored");
    }
    // An event that was accepted keeps its outcome, also in books made anew.
    shop.bus.publish(&batch(1, 0, 1)).await.expect("publishes");
    shop.bus.publish(&letter("g", "enrichment", "{}")).await.expect("stored");
    running.until("/v1/books", |books| books["totals"]["dead_lettered"] == 5).await;
    let order = json!({"sequences": [1, 3, 5], "by": "anna", "reason": "a test"});
    let (_, answer) = running.post("/v1/dead-letters/discard", &order).await;
    assert_eq!(answer["ordered"], json!(3), "{answer}");
    let progress = format!("/v1/dead-letters/orders/{}", answer["request"].as_str().expect("a name"));
    running.until(&progress, |order| order["done"] == 3).await;
    let books = running.json("/v1/books").await;
    assert_eq!((&books["totals"]["dead_lettered"], &books["balanced"]), (&json!(5), &json!(true)), "{books}");
    running.stop().await;
    lose(&shop);
    let running = shop.report("").await;
    let listed = |answer: &Json| {
        let letters = answer["dead_letters"].as_array().expect("letters");
        letters.iter().map(|letter| letter["sequence"].as_u64()).collect::<Vec<_>>()
    };
    running.until("/v1/dead-letters", |answer| listed(answer) == [Some(6), Some(4), Some(2)]).await;
    let books = running.until("/v1/books", |books| books["totals"]["accepted"] == 1).await;
    assert_eq!((&books["totals"]["dead_lettered"], &books["balanced"]), (&json!(3), &json!(true)), "{books}");
    running.stop().await;
}
