//! The example's shop in a real browser, before a real suite that asks for keys: from the list
//! in the page to the click in the log.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tidemill_bus::Bus;
use tidemill_events::{RawBatch, event, topology};
use tidemill_testkit::{crate_folder, eventually};
use tidemill_tests::{DEADLINE, TestSuite, browser::node_with_browser};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Visits that go from strings to a guitar.
async fn teach(suite: &TestSuite) {
    let seen = |visit: u32, product: &str| {
        json!({"type": "product.viewed", "source": "shop", "id": format!("{visit}-{product}"),
            "data": {"product_id": product, "session_id": format!("v-{visit}")}})
        .to_string()
    };
    let views: Vec<String> =
        (0..5).flat_map(|visit| ["strings", "guitar"].map(|product| seen(visit, product))).collect();
    let (status, answer) = suite.post("application/x-ndjson", views.join("\n")).await;
    assert_eq!(status, 202, "{answer}");
    let url = format!("http://{}/v1/recommendations?items=strings", suite.suite.recommendation);
    eventually("it is learnt", DEADLINE, async || {
        let request = suite.http.get(&url).bearer_auth(suite.keys.read.as_deref().expect("a key"));
        let answer: Value = request.send().await.expect("answers").json().await.expect("JSON");
        (answer["items"][0]["item"] == "guitar").then_some(())
    })
    .await;
}

/// An event that a visit told, as it is in the log.
async fn in_raw(bus: &Bus, visit: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually("the event is in the log", DEADLINE, async || {
        for partition in bus.partitions().all() {
            let (mut next, subject) = (1, topology::raw(partition));
            while let Some((sequence, batch)) = bus.next_at::<RawBatch>(&subject, next).await.expect("reads") {
                let batch = batch.expect("a batch");
                let mut events = event::lines(&batch.lines).map(|line| serde_json::from_slice(line).expect("JSON"));
                let found = events.find(|event: &Value| event["data"]["session_id"] == visit && is_it(event));
                if found.is_some() {
                    return found;
                }
                next = sequence + 1;
            }
        }
        None
    })
    .await
}

/// The browser with the shop; what it printed.
async fn open(node: &Path, suite: &TestSuite) -> (Child, Value) {
    let mut shop = Command::new(node)
        .arg(crate_folder().join("browser/storefront.mjs"))
        .args(["strings", "guitar"])
        .env("RECOMMENDATION_URL", format!("http://{}", suite.suite.recommendation))
        .env("INGESTION_URL", format!("http://{}", suite.suite.ingestion))
        .env("RECOMMENDATION_KEY", suite.keys.read.as_deref().expect("a key"))
        .env("INGESTION_KEY", suite.keys.write.as_deref().expect("a key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(shop.stdout.take().expect("an output")).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.expect("in time").expect("is read");
    let told = serde_json::from_str(&line.expect("the page is as it should be")).expect("JSON");
    (shop, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_in_the_shops_page_is_in_the_log() {
    let Some(node) = node_with_browser("a_click_in_the_shops_page_is_in_the_log") else { return };
    let suite = TestSuite::guarded().await;
    teach(&suite).await;
    let (mut shop, told) = open(&node, &suite).await;
    let visit = told["visit"].as_str().expect("a visit");
    assert_eq!(told["shown"], json!(["guitar"]));

    let config = tidemill_bus::Config { url: suite.suite.nats_url(), ..tidemill_bus::Config::default() };
    let bus = Bus::connect(&config, "test").await.expect("NATS answers");
    let of_list = |event: &Value, kind: &str| {
        event["type"] == kind
            && event["data"]["placement"] == "product"
            && event["data"]["items"][0]["product_id"] == "guitar"
    };
    let shown = in_raw(&bus, visit, |event| of_list(event, "recommendation.shown")).await;
    let clicked = in_raw(&bus, visit, |event| of_list(event, "recommendation.clicked")).await;
    in_raw(&bus, visit, |event| event["type"] == "product.viewed" && event["data"]["product_id"] == "strings").await;
    // It ends with its input.
    drop(shop.stdin.take());
    assert!(timeout(Duration::from_secs(30), shop.wait()).await.expect("in time").expect("ends").success());

    let item = &clicked["data"]["items"][0];
    assert_eq!(
        (&clicked["source"], &item["product_id"], &item["position"]),
        (&json!("storefront"), &json!("guitar"), &json!(1))
    );
    assert_eq!(item["recommendation"]["strategy"], "visits");
    assert!(item["recommendation"]["request"].as_str().is_some_and(|id| id.len() == 36), "{clicked}");
    assert_eq!(shown["data"]["items"], json!([item]), "the click is of what was shown");
    assert!(clicked.get("subject").is_none(), "a page says nothing of who it is: {clicked}");
    suite.stop().await;
}
