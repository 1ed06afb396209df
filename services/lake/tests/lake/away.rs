use std::fs;

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::{eventually, jetstream};

use crate::common::{DEADLINE, StartingLake, TestShop, counts};

fn viewed(numbers: std::ops::Range<u32>) -> Vec<Value> {
    let view = |number: u32| {
        json!({"specversion": "1.0", "type": "product.viewed", "source": "till", "id": format!("v-{number}"),
            "time": SystemClock.now().to_string(), "data": {"product_id": "novel", "session_id": format!("s-{number}")}})
    };
    numbers.map(view).collect()
}

/// As where a volume goes away and its mount point stays: whoever writes makes folders.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_into_an_empty_folder_where_the_tables_were() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    shop.post(&viewed(0..30), None).await;
    counts("lines of bronze", 30, async || shop.rows("bronze/events", &["id"]).await.len()).await;

    let (tables, away) = (shop.folder().join("lake"), shop.folder().join("away"));
    fs::rename(&tables, &away).and_then(|()| fs::create_dir(&tables)).expect("an empty folder");
    shop.post(&viewed(30..60), None).await;
    let url = format!("http://{}/readyz", lake.address);
    eventually("the lake says that it is not ready", DEADLINE, async || {
        let status = shop.http.get(&url).send().await.expect("it answers").status();
        (status.as_u16() == 503).then_some(())
    })
    .await;
    shop.post(&viewed(60..90), None).await;
    fs::remove_dir_all(&tables).and_then(|()| fs::rename(&away, &tables)).expect("it is back");

    shop.balanced(90).await;
    let log = shop.log().await;
    counts("lines of bronze", log.len(), async || shop.rows("bronze/events", &["id"]).await.len()).await;
    assert!(shop.bronze().await == log, "bronze is the log, line for line");
    counts("events of silver", 90, async || shop.rows("silver/events", &["id"]).await.len()).await;
    lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_waits_for_its_folder() {
    let shop = TestShop::start().await;
    let tables = shop.folder().join("lake");
    fs::write(&tables, "").expect("a file in its place");
    let lake = StartingLake::begin(&shop.settings("lake.db", &tables.display().to_string(), ""));
    eventually("it says what it waits for", DEADLINE, async || lake.context.health.problems().remove("lake")).await;
    fs::remove_file(&tables).expect("goes");
    shop.post(&viewed(0..5), None).await;
    // Until there is a table, there is none to count.
    eventually("the table is made", DEADLINE, async || tables.join("bronze/events/_delta_log").is_dir().then_some(()))
        .await;
    counts("lines of bronze", 5, async || shop.rows("bronze/events", &["id"]).await.len()).await;
    lake.kill();
}

/// The whole suite runs on: each service says that the log is another one, and takes nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_made_anew_under_a_lake_is_not_written_into_its_tables() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    // Several batches: by its count alone, a log that has come as far is the same.
    for begin in [0, 10, 20] {
        shop.post(&viewed(begin..begin + 10), None).await;
    }
    shop.balanced(30).await;
    counts("lines of bronze", 30, async || shop.rows("bronze/events", &["id"]).await.len()).await;
    counts("events of silver", 30, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let answer = jetstream(&shop.suite.nats_url(), "STREAM.DELETE.RAW", "").await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    shop.bus.ensure_topology().await.expect("streams");
    shop.post(&viewed(100..101), None).await;
    // It is named of one unit. Bronze and silver of every partition that had something have it.
    eventually("the lake says so", DEADLINE, async || {
        lake.problems().into_values().any(|problem| problem.contains("foreign_log")).then_some(())
    })
    .await;
    assert_eq!(shop.rows("bronze/events", &["id"]).await.len(), 30);
    assert_eq!(shop.rows("silver/events", &["id"]).await.len(), 30);
    lake.stop().await;
}
