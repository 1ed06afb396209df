//! Batch views land in the read model: answers stay as they are, whatever happens meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestLake, TestShop, counts};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Metrics that orders are in, and what is asked of them.
const METRICS: [(&str, &str); 4] =
    [("sales_metrics", "totals"), ("daily_sales", "series"), ("conversion", "series"), ("order_metrics", "totals")];

fn order(n: usize, days_ago: i64) -> Value {
    let time = SystemClock.now().plus_millis(-days_ago * DAY - i64::try_from(n % 90).expect("small") * MINUTE);
    let currency = if n.is_multiple_of(3) { "USD" } else { "EUR" };
    json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("e-{days_ago}-{n}"),
        "subject": format!("c-{}", n % 17), "time": time.to_string(),
        "data": {"order_id": format!("o-{days_ago}-{n}"), "currency": currency, "items": [
            {"product_id": if n.is_multiple_of(2) { "novel" } else { "chess" }, "quantity": n % 4 + 1,
             "unit_price": "10.50"}]}})
}

async fn trade(shop: &TestShop, orders: std::ops::Range<usize>, received: u64) {
    let backfill: Vec<Value> = orders.clone().map(|n| order(n, 30)).collect();
    let now: Vec<Value> = orders.map(|n| order(n, i64::try_from(n % 3).expect("small"))).collect();
    shop.post(&backfill, Some("history")).await;
    shop.post(&now, None).await;
    shop.balanced(received).await;
}

/// What is told of all metrics, without where it comes from and how far it is true.
async fn answers(shop: &TestShop) -> (BTreeMap<String, Value>, BTreeMap<String, String>) {
    let (mut values, mut sources) = (BTreeMap::new(), BTreeMap::new());
    for (name, view) in &METRICS {
        let from = SystemClock.now().plus_millis(-40 * DAY).floor_to(DAY);
        let answer = shop.get(&format!("/v1/metrics/{name}/{view}?from={from}")).await;
        sources.insert((*name).to_owned(), answer["source"].as_str().expect("a source").to_owned());
        let told = if *view == "totals" { "rows" } else { "series" };
        // Whether windows are complete depends on when one asks.
        let mut told = answer[told].clone();
        for series in told.as_array_mut().unwrap_or_else(|| panic!("{answer}")) {
            for point in series["points"].as_array_mut().into_iter().flatten() {
                point.as_object_mut().expect("a point").remove("complete");
            }
        }
        values.insert((*name).to_owned(), told);
    }
    (values, sources)
}

async fn ordered(shop: &TestShop, lake: &TestLake, whole: bool) -> Value {
    let url = format!("http://{}/v1/batch-views/orders", lake.address);
    let answer = shop.http.post(&url).json(&json!({ "whole": whole })).send().await.expect("the lake answers");
    assert_eq!(answer.status(), 202);
    answer.json().await.expect("JSON")
}

/// Orders views, and waits until they have landed.
async fn refreshed(shop: &TestShop, lake: &TestLake, whole: bool) {
    let number = ordered(shop, lake, whole).await["number"].clone();
    let url = format!("http://{}/v1/batch-views/orders/{number}", lake.address);
    let done = eventually("the order is done", DEADLINE, async || {
        let told: Value = shop.http.get(&url).send().await.ok()?.json().await.ok()?;
        told["done_at"].is_string().then_some(told)
    })
    .await;
    assert_eq!(done["failed"], Value::Null, "{done}");
    let views: Value = {
        let url = format!("http://{}/v1/batch-views", lake.address);
        shop.http.get(url).send().await.expect("answers").json().await.expect("JSON")
    };
    let numbers = |told: &Value, list: &str, number: &str| -> BTreeMap<String, u64> {
        let all = told[list].as_array().expect("a list").iter();
        all.map(|of| (of["metric"].as_str().expect("a name").to_owned(), of[number].as_u64().expect("one"))).collect()
    };
    let told = numbers(&views, "views", "number");
    eventually("the views have landed", DEADLINE, async || {
        (numbers(&shop.get("/v1/drift").await, "metrics", "view") == told).then_some(())
    })
    .await;
}

async fn no_drift(shop: &TestShop) -> u64 {
    let drift = shop.get("/v1/drift").await;
    assert_eq!((&drift["equal"], &drift["cells"]), (&json!(true), &json!([])), "{drift}");
    drift["metrics"].as_array().expect("metrics").iter().map(|of| of["compared"].as_u64().expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stay_when_batch_views_land_and_while_they_are_killed() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    trade(&shop, 0..120, 240).await;
    counts("events of silver", 240, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let (before, sources) = answers(&shop).await;
    assert!(sources.values().all(|source| source == "speed"), "{sources:?}");
    refreshed(&shop, &lake, false).await;
    let (after, sources) = answers(&shop).await;
    assert_eq!(after, before);
    assert!(sources.values().all(|source| source == "batch"), "{sources:?}");
    assert!(no_drift(&shop).await > 0, "something was compared");
    let answer = shop.get("/v1/metrics/daily_sales/totals").await;
    assert!(answer["parts"]["batch"]["view"].is_u64() && answer["parts"]["speed"].is_object(), "{answer}");
    let of_views = shop.get("/v1/metrics/daily_sales/totals?generation=batch").await;
    assert_eq!((&of_views["rows"], &of_views["source"]), (&answer["rows"], &json!("batch")));

    // The stream goes on, and the lake is killed while it tells views.
    trade(&shop, 120..160, 320).await;
    let (now, sources) = answers(&shop).await;
    assert!(sources.values().any(|source| source == "merged"), "{sources:?}");
    counts("events of silver", 320, async || shop.rows("silver/events", &["id"]).await.len()).await;
    ordered(&shop, &lake, true).await;
    lake.kill();
    assert_eq!(answers(&shop).await.0, now);
    let lake = shop.lake();
    refreshed(&shop, &lake, true).await;
    let (again, sources) = answers(&shop).await;
    assert_eq!(again, now);
    assert!(sources.values().all(|source| source == "batch"), "{sources:?}");
    no_drift(&shop).await;
    lake.stop().await;
}
