//! The lake in a bucket of a real S3 server, over a network that goes bad.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_lake_tables::{Lake, S3Config, StorageConfig, testing};
use tidemill_testkit::{Gate, GateMode, S3Server, eventually, skipped};

use crate::common::{DEADLINE, StartingLake, TestLake, TestShop, counts};

fn orders(ids: std::ops::Range<usize>) -> Vec<Value> {
    let order = |id: usize| {
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
            "subject": "c-1", "time": SystemClock.now().to_string(),
            // One that no schema knows stays where it is.
            "data": {"order_id": format!("o-{id}"), "gift_wrap": "blue",
                "items": [{"product_id": "novel", "quantity": 1, "unit_price": "10.50"}]}})
    };
    ids.map(order).collect()
}

/// The bucket's options, as settings of section `lake.s3` and as those of a reader.
fn options(at: SocketAddr, secret: &str) -> Vec<(String, String)> {
    let [key, _] = S3Server::WRITER;
    let endpoint = format!("http://{at}");
    let all = [
        ("endpoint", endpoint.as_str()),
        ("region", "us-east-1"),
        ("access_key_id", key),
        ("secret_access_key", secret),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn settings(shop: &TestShop, at: SocketAddr, secret: &str) -> String {
    let of_bucket: String = options(at, secret).iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
    let more = format!("[lake.s3]\nallow_http = true\n{of_bucket}[gold]\nevery_seconds = 1\n");
    shop.settings("lake.db", "s3://lake/shop", &more)
}

fn tables(at: SocketAddr) -> Lake {
    let [_, secret] = S3Server::WRITER;
    let mut options = options(at, secret);
    options.push(("allow_http".into(), "true".into()));
    let s3 = S3Config(options.into_iter().collect());
    Lake::open(&StorageConfig { url: "s3://lake/shop".into(), s3 }).expect("a bucket")
}

/// Waits until readiness tells this code.
async fn told(lake: &TestLake, code: &str) {
    eventually(&format!("readiness tells {code}"), DEADLINE, async || {
        lake.problems().values().any(|problem| problem.contains(&format!("{code}: "))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_in_a_bucket_goes_on_where_a_bad_network_left_it() {
    let test = "a_lake_in_a_bucket_goes_on_where_a_bad_network_left_it";
    let Some(server) = S3Server::start().await else {
        return skipped(test, "there is no S3 server: SeaweedFS (`weed`), which scripts/provision installs");
    };
    let shop = TestShop::start().await;
    let gate = Gate::start(server.address()).await;
    let [_, secret] = S3Server::WRITER;

    let wrong = StartingLake::begin(&settings(&shop, gate.address(), "wrong"));
    eventually("readiness tells what is wrong", DEADLINE, async || {
        wrong.context.health.problems().get("lake").filter(|problem| problem.starts_with("lake_denied: ")).map(drop)
    })
    .await;
    wrong.kill();

    let lakes = [0; 2].map(|_| TestLake::start(&settings(&shop, gate.address(), secret)));
    let tables = tables(server.address());
    let (mut received, mut sent) = (0, 0);
    for (mode, code) in [
        (GateMode::Open, None),
        (GateMode::Slow(Duration::from_millis(10)), None),
        (GateMode::Shut, Some("lake_store")),
        (GateMode::Answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"), Some("lake_store")),
        (GateMode::Answer("507 Insufficient Storage", "<Error><Code>StorageFull</Code></Error>"), Some("lake_full")),
        (GateMode::Open, None),
    ] {
        gate.set(mode);
        shop.post(&orders(sent..sent + 30), None).await;
        sent += 30;
        received += 30;
        if let Some(code) = code {
            told(&lakes[0], code).await;
        }
    }
    shop.balanced(received).await;
    let rows = async |path, columns: &[&str]| testing::rows(&tables, path, columns).await.expect("a table");
    counts("events of bronze", sent, async || rows("bronze/events", &["id"]).await.len()).await;
    counts("events of silver", sent, async || rows("silver/events", &["id"]).await.len()).await;
    eventually("orders are there once", DEADLINE, async || {
        let orders = rows("silver/orders", &["net"]).await;
        (orders.len() == sent && orders.iter().all(|order| order[0].starts_with("10.5"))).then_some(())
    })
    .await;
    let data = rows("silver/events", &["data"]).await;
    assert!(data.iter().all(|row| row[0].contains("\"gift_wrap\":\"blue\"")), "a new member is in data");
    let columns = testing::rows(&tables, "silver/events", &["gift_wrap"]).await.map_err(|error| error.kind());
    assert!(columns.is_err(), "and no column");

    let question = json!({"sql": "select sum(orders) as orders, sum(revenue) as revenue from gold.daily_metrics"});
    let expected = json!([{"orders": sent, "revenue": format!("{}.00", sent * 21 / 2)}]);
    eventually("gold is of all of it, and SQL answers", DEADLINE, async || {
        let url = format!("http://{}/v1/sql", lakes[1].address);
        let answer = shop.http.post(url).json(&question).send().await.ok()?.json::<Value>().await.ok()?;
        (answer["rows"] == expected).then_some(())
    })
    .await;
    eventually("it is ready again", DEADLINE, async || {
        lakes.iter().all(|lake| lake.problems().is_empty()).then_some(())
    })
    .await;
    for lake in lakes {
        lake.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_lake_takes_nothing_of_the_first_ones() {
    let shop = TestShop::start().await;
    let root = shop.folder().join("lake").display().to_string();
    let lake = TestLake::start(&shop.settings("lake.db", &root, ""));
    shop.post(&orders(0..5), None).await;
    counts("events of bronze", 5, async || shop.rows("bronze/events", &["id"]).await.len()).await;

    let second = StartingLake::begin(&shop.settings("other.db", &root, ""));
    let problem = eventually("the second one is refused", DEADLINE, async || {
        second.context.health.problems().get("lake").cloned()
    })
    .await;
    assert!(problem.starts_with("lake_schema: the lake: it belongs to the lake "), "{problem}");
    shop.post(&orders(5..60), None).await;
    counts("events of bronze", 60, async || shop.rows("bronze/events", &["id"]).await.len()).await;
    counts("events of silver", 60, async || shop.rows("silver/events", &["id"]).await.len()).await;
    assert_eq!(lake.problems(), [].into(), "the first one has all its units");
    second.kill();
    lake.stop().await;
}
