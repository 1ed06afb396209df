//! How far the numbers are true: it goes on while nothing comes, and never back.

use serde_json::{Value as Json, json};
use tidemill_domain::Timestamp;
use tidemill_events::MetricsUpdate;

use crate::{
    live::Reader,
    service::{is_traded, trade},
    shop::{MINUTE, Running, Shop, at, batch, outcomes, status, update},
};

const TOTALS: &str = "/v1/metrics/sales_metrics/totals";

fn as_of(answer: &Json) -> Option<Timestamp> {
    answer["as_of"].as_str()?.parse().ok()
}

/// All is counted, and all sources are idle.
async fn quiet(shop: &Shop, running: &Running) -> Json {
    trade(&shop.bus).await;
    for partition in [0, 1] {
        shop.bus.publish(&status(partition, 9)).await.expect("stored");
    }
    running.until("/v1/books", is_traded).await;
    running.until(TOTALS, |answer| answer["complete"] == true && answer["watermark"] != Json::Null).await
}

#[tokio::test]
async fn where_nothing_comes_the_numbers_are_true_up_to_now() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let begun = quiet(&shop, &running).await;
    let later = running.until(TOTALS, |answer| as_of(answer) > as_of(&begun)).await;
    assert_eq!((&later["complete"], &later["watermark"]), (&json!(true), &begun["watermark"]));
    let mut reader = Reader::open(&running, None).await;
    for _ in 0..2 {
        let told = reader.until(|seen| seen.event == "truth").await.data;
        assert!(as_of(&told) > as_of(&begun) && told["complete_until"] == told["as_of"], "{told}");
    }
    drop(reader);
    running.stop().await;
}

#[tokio::test]
async fn what_was_complete_stays_so_when_a_slow_source_wakes_up_and_after_a_restart() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let quiet = quiet(&shop, &running).await;
    // One partition wakes up with a source that is behind, and another has its first batch.
    let books = vec![outcomes(5, 1, 1)];
    let behind = MetricsUpdate { watermark: Some(at(MINUTE)), books, ..update(0, 10, Vec::new()) };
    shop.bus.publish(&behind).await.expect("stored");
    shop.bus.publish(&batch(3, 5, 2)).await.expect("stored");
    let holds = async |running: &Running| {
        let answer = running.until(TOTALS, |answer| as_of(answer) > as_of(&quiet)).await;
        assert_eq!((&answer["watermark"], &answer["rows"]), (&quiet["watermark"], &quiet["rows"]));
        assert_eq!(answer["complete"], false, "a batch is on its way");
        let until = as_of(&quiet).expect("a time").floor_to(MINUTE);
        assert_eq!(running.json(&format!("{TOTALS}?to={until}")).await["complete"], true);
    };
    let is_folded = |books: &Json| books["totals"]["accepted"] == 12 && books["totals"]["counted"] == 8;
    running.until("/v1/books", is_folded).await;
    holds(&running).await;
    running.stop().await;
    let running = shop.report("").await;
    running.until(TOTALS, |answer| answer["rows"] == quiet["rows"]).await;
    holds(&running).await;
    running.stop().await;
}
