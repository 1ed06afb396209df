//! A metric that is defined while a suite runs gets its past.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tidemill_testkit::{eventually, tempdir};

use crate::{terminal::Terminal, up::Running};

const DEADLINE: Duration = Duration::from_secs(60);
const BUYERS: &str =
    "name: buyers\ntypes: [order.placed]\nwindow: {tumbling: 1d}\nmeasures:\n  orders: {count: rows}\n";

/// A command that runs, and is killed at the end of the test.
struct Backfilling(Child);

impl Backfilling {
    fn start(folder: &Path, url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(["replay", "backfill", "--name", "past", "--data", "data"]).current_dir(folder);
        command.env("TIDEMILL_URL", url).env("USER", "anna");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Backfilling {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn trade(suite: &Running, first: u32, count: u32) {
    let order = |n: u32| {
        let item = json!({"product_id": "novel", "quantity": 1, "unit_price": "2.50"});
        json!({"type": "order.placed", "source": "shop", "id": format!("e-{n}"), "subject": format!("c-{}", n % 9),
            "data": {"order_id": format!("o-{n}"), "items": [item]}})
    };
    let lines: String = (first..first + count).map(|n| format!("{}\n", order(n))).collect();
    let url = suite.says("Events").to_owned();
    let request = reqwest::Client::new().post(url).header("content-type", "application/x-ndjson").body(lines);
    assert_eq!(request.send().await.expect("ingestion answers").status(), 202);
}

/// Nothing while reporting takes up other definitions.
async fn get(url: &str, path: &str) -> Value {
    match reqwest::get(format!("{url}{path}")).await {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

/// Orders that the metric has, and the generation that answers.
async fn orders(url: &str) -> (u64, Option<String>) {
    let told = get(url, "/v1/metrics/buyers/totals").await;
    let generation = told["generation"].as_str().map(str::to_owned);
    (told["rows"][0]["values"]["orders"].as_u64().unwrap_or_default(), generation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_metric_gets_its_past_and_goes_on() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let metrics = folder.path().join("metrics");
    std::fs::create_dir(&metrics).expect("a folder");
    for (file, text) in tidemill_definitions::Metrics::built_in() {
        std::fs::write(metrics.join(file), text).expect("writes");
    }
    std::fs::write(folder.path().join("tidemill.toml"), "[definitions]\nmetrics = \"metrics\"\n").expect("writes");
    let ports = ["--port", "0", "--reporting-port", "0", "--jaeger-port", "0", "--data", "data"];
    let suite = Running::start(folder.path(), &ports, &[]);
    let url = suite.says("Dashboard").to_owned();
    let config = folder.path().join("tidemill.toml");
    let (terminal, config) = (Terminal { url: url.clone() }, config.to_str().expect("text").to_owned());
    let data = folder.path().join("data");
    let place = ["--name", "past", "--data", data.to_str().expect("text"), "--config", &config];
    let backfill = async |more: &[&str]| {
        let words: Vec<&str> = ["replay", "backfill"].iter().chain(&place).chain(more).copied().collect();
        terminal.says(&words).await
    };
    trade(&suite, 0, 60).await;
    eventually("they are counted", DEADLINE, || async {
        let told = get(&url, "/v1/books").await;
        (told["balanced"] == true && told["totals"]["counted"].as_u64() >= Some(60)).then_some(())
    })
    .await;
    let (code, told) = backfill(&[]).await;
    assert!(code == Some(0) && told.contains("nothing to do"), "{told}");

    std::fs::write(metrics.join("buyers.yaml"), BUYERS).expect("writes");
    eventually("it is served", DEADLINE, || async {
        let told = get(&url, "/v1/metrics").await;
        let all = told["metrics"].as_array().cloned().unwrap_or_default();
        all.iter().any(|of| of["name"] == "buyers" && of["counted_from"].is_string()).then_some(())
    })
    .await;
    trade(&suite, 100, 7).await;
    eventually("it counts from then on", DEADLINE, || async { (orders(&url).await == (7, None)).then_some(()) }).await;
    let (code, told) = backfill(&["--plan"]).await;
    assert!(code == Some(0) && told.contains("all that came in until") && !told.contains("sales_metrics"), "{told}");
    let (code, told) = backfill(&["--metric", "none", "--plan"]).await;
    assert!(code == Some(1) && told.contains("there is no metric none"), "{told}");

    let running = Backfilling::start(folder.path(), &url);
    let past = || Some("past".to_owned());
    eventually("it has its past", DEADLINE, || async { (orders(&url).await == (67, past())).then_some(()) }).await;
    trade(&suite, 200, 3).await;
    eventually("it goes on", DEADLINE, || async { (orders(&url).await == (70, past())).then_some(()) }).await;
    // Killed and begun again, it goes on where it was.
    drop(running);
    let _running = Backfilling::start(folder.path(), &url);
    trade(&suite, 300, 2).await;
    eventually("it goes on", DEADLINE, || async { (orders(&url).await == (72, past())).then_some(()) }).await;
    let changes = get(&url, "/v1/generations/changes").await;
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(1), "one metric was cut over, once: {changes}");
    assert_eq!(suite.stop(), Some(0));
}
