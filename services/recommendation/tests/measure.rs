//! How well clicks are predicted is told as events, once.

mod common;

use std::collections::BTreeMap;

use common::{DEADLINE, Running, Shop, view};
use serde_json::Value;
use tidemill_events::MeasuredEvent;
use tidemill_testkit::try_eventually;

const MEASURED: &str = "measure.interval_seconds = 3\n";

/// All events that were told, by id.
async fn told(shop: &Shop) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    for sequence in 1.. {
        let Some(stored) = shop.bus.message_at::<MeasuredEvent>(sequence).await.expect("reads") else { break };
        let event: Value = serde_json::from_slice(&stored.message.body).expect("JSON");
        assert_eq!(
            (&event["source"], &event["type"]),
            (&"tidemill/recommendation".into(), &"recommendation.evaluated".into())
        );
        assert_eq!(event["id"], stored.message.id.as_str());
        let again = told.insert(stored.message.id, event["data"].clone());
        assert_eq!(again, None, "told twice");
    }
    told
}

fn sum(told: &BTreeMap<String, Value>, figure: &str) -> u64 {
    told.values().map(|data| data[figure].as_u64().expect("a number")).sum()
}

async fn until_cases(shop: &Shop, cases: u64) -> BTreeMap<String, Value> {
    try_eventually("all cases are told", DEADLINE, async || {
        let told = told(shop).await;
        if sum(&told, "cases") == cases { Ok(told) } else { Err(told) }
    })
    .await
}

/// A visit in each partition, once the service keeps it.
async fn kept(shop: &mut Shop, service: &Running, name: &str) {
    for partition in 0..common::PARTITIONS {
        let customer = format!("{name}-{partition}");
        shop.publish(partition, &[view(&customer, "warm")]).await;
        let is_there = |profile: &Value| profile["views"][0]["item"] == "warm";
        service.until(&format!("/v1/profiles/{customer}"), is_there).await;
    }
}

#[tokio::test]
async fn clicks_are_predicted_before_they_are_learnt_and_told_once() {
    let mut shop = Shop::open().await;
    let toml = shop.toml(&shop.sqlite(), MEASURED);
    let service = Running::start(&toml).await;
    kept(&mut shop, &service, "first").await;
    // Ten visitors who look at two products, each in a batch of their own: the first of each
    // is no case. The first visitor of all has nobody to be compared with.
    let first = shop.publish(0, &[view("v0", "books-a"), view("v0", "books-b")]).await;
    service.learnt(0, first).await;
    shop.visitors(1..10, &["books-a", "books-b"]).await;
    let all = until_cases(&shop, 10).await;
    assert_eq!(sum(&all, "hits"), 9, "{all:?}");
    let reciprocals: f64 = all
        .values()
        .map(|data| data["reciprocal_rank"].as_str().and_then(|text| text.parse::<f64>().ok()))
        .map(|rank| rank.expect("a decimal"))
        .sum();
    assert!((reciprocals - 9.0).abs() < 1e-9, "{all:?}");
    assert!(all.values().all(|data| data["from"].as_u64() <= data["to"].as_u64() && data["cutoff"] == 20));
    service.stop().await;

    // Started again, it reads a part of the log once more, and tells nothing of it twice.
    let again = Running::start(&toml).await;
    kept(&mut shop, &again, "second").await;
    shop.visitors(20..24, &["books-a", "books-b"]).await;
    let all = until_cases(&shop, 14).await;
    assert_eq!(sum(&all, "hits"), 13, "{all:?}");
    again.stop().await;
}

#[tokio::test]
async fn nothing_is_told_where_it_is_not_wanted() {
    let mut shop = Shop::open().await;
    let (off, none) =
        ("measure.interval_seconds = 0\n", "measure.interval_seconds = 1\nmeasure.predictions_per_second = 0\n");
    for settings in [off, none] {
        let service = Running::start(&shop.toml(&shop.sqlite(), settings)).await;
        kept(&mut shop, &service, "c").await;
        shop.visitors(0..4, &["books-a", "books-b"]).await;
        let last = shop.publish(0, &[view("c-0", "books-a")]).await;
        service.learnt(0, last).await;
        service.stop().await;
    }
    assert!(told(&shop).await.is_empty());
}
