//! Definitions that change while a suite runs.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tidemill::suite::{Options, Suite};
use tidemill_definitions::Metrics;
use tidemill_testkit::tempdir;
use tokio::time::{Instant, interval};

const PATIENCE: Duration = Duration::from_secs(60);

/// A suite with definitions of its own, while a shop sends.
struct Shop {
    http: reqwest::Client,
    ingestion: String,
    reporting: String,
    aggregation: String,
    metrics: PathBuf,
    schemas: PathBuf,
    sent: AtomicU64,
    is_closed: AtomicBool,
    /// Of the answers to events, the slowest, in milliseconds.
    slowest: AtomicU64,
}

fn own_definitions(folder: &Path) -> Options {
    let mut options = Options { folder: folder.join("data"), ..Options::default() };
    let definitions = folder.join("definitions");
    for name in ["metrics", "schemas"] {
        std::fs::create_dir_all(definitions.join(name)).expect("a folder");
    }
    for (name, text) in Metrics::built_in() {
        std::fs::write(definitions.join("metrics").join(name), text).expect("writes");
    }
    options.files.definitions.metrics = Some(definitions.join("metrics"));
    options.files.definitions.schemas = Some(definitions.join("schemas"));
    options
}

impl Shop {
    fn new(suite: &Suite, folder: &Path) -> Self {
        Self {
            http: reqwest::Client::new(),
            ingestion: format!("http://{}", suite.ingestion),
            reporting: format!("http://{}", suite.reporting),
            aggregation: format!("http://{}", suite.aggregation),
            metrics: folder.join("definitions/metrics"),
            schemas: folder.join("definitions/schemas"),
            sent: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            slowest: AtomicU64::new(0),
        }
    }

    /// Sends an order every few milliseconds, each of which has to be accepted.
    async fn sell(&self) {
        let mut ticks = interval(Duration::from_millis(10));
        while !self.is_closed.load(Ordering::Relaxed) {
            ticks.tick().await;
            let id = self.sent.load(Ordering::Relaxed);
            let order = json!({"type": "order.placed", "source": "shop", "id": id, "subject": format!("c-{id}"),
                "data": {"order_id": id, "items": [{"product_id": "p", "quantity": 1, "unit_price": 2}]}});
            let begun = Instant::now();
            let answer = self.http.post(format!("{}/v1/events", self.ingestion)).json(&order).send().await;
            let answer = answer.expect("ingestion answers whatever is changed");
            assert_eq!(answer.status(), 202, "order {id}");
            let millis = u64::try_from(begun.elapsed().as_millis()).expect("a short time");
            self.slowest.fetch_max(millis, Ordering::Relaxed);
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn get(&self, url: String) -> Result<Value, String> {
        let answer = self.http.get(url).send().await.map_err(|e| e.to_string())?;
        answer.json().await.map_err(|e| e.to_string())
    }

    /// The version of the metric of sales that is served.
    async fn version(&self) -> Result<String, String> {
        let metrics = self.get(format!("{}/v1/metrics", self.reporting)).await?;
        let mut all = metrics["metrics"].as_array().into_iter().flatten();
        let sales = all.find(|metric| metric["name"] == "sales_metrics").ok_or("no metric of sales")?;
        Ok(sales["version"].as_str().unwrap_or_default().to_owned())
    }

    /// What a version has counted of the items sold.
    async fn sold(&self, version: &str) -> Result<f64, String> {
        let url = format!("{}/v1/metrics/sales_metrics/totals?version={version}", self.reporting);
        let totals = self.get(url).await?;
        let quantity = totals["rows"][0]["values"]["quantity"].as_str().unwrap_or("0");
        quantity.parse().map_err(|_| totals.to_string())
    }

    /// What a version that is served says of what it has not counted: since when it
    /// counts, and how many times it did not.
    async fn uncounted(&self) -> Result<(bool, usize), String> {
        let metrics = self.get(format!("{}/v1/metrics", self.reporting)).await?;
        let mut all = metrics["metrics"].as_array().into_iter().flatten();
        let told = all.find(|metric| metric["name"] == "sales_metrics").ok_or("no metric of sales")?;
        let totals = self.get(format!("{}/v1/metrics/sales_metrics/totals", self.reporting)).await?;
        for name in ["counted_from", "uncounted"] {
            if totals[name] != told[name] {
                return Err(format!("{totals} and {told}"));
            }
        }
        let closed = told["uncounted"].as_array().into_iter().flatten().filter(|time| time["to"].is_string());
        Ok((told["counted_from"].is_string(), closed.count()))
    }

    async fn categories(&self) -> Result<Vec<String>, String> {
        let url = format!("{}/v1/metrics/sales_metrics/totals?group_by=category", self.reporting);
        let totals = self.get(url).await?;
        let rows = totals["rows"].as_array().into_iter().flatten();
        let mut categories: Vec<String> =
            rows.filter_map(|row| row["dimensions"]["category"].as_str()).map(str::to_owned).collect();
        categories.sort();
        Ok(categories)
    }

    async fn notice(&self) -> Result<Option<String>, String> {
        let ready = self.get(format!("{}/readyz", self.aggregation)).await?;
        Ok(ready["notices"]["definitions"].as_str().map(str::to_owned))
    }

    /// What a person does to the files, and what has to come of it. Answers the versions
    /// that counted.
    async fn change(&self) -> [String; 2] {
        let file = self.metrics.join("sales_metrics.yaml");
        let former = std::fs::read_to_string(&file).expect("a file");
        let first = self.version().await.expect("a version");
        eventually("the first version counts", async || Ok(self.sold(&first).await? > 0.0)).await;
        assert_eq!(self.uncounted().await, Ok((false, 0)), "it has counted all of the log");

        std::fs::write(&file, former.replace("measures:\n", "measures:\n  rows: {count: rows}\n")).expect("writes");
        eventually("another version is served", async || Ok(self.version().await? != first)).await;
        let second = self.version().await.expect("a version");
        eventually("it counts", async || Ok(self.sold(&second).await? > 0.0)).await;
        eventually("it says since when", async || Ok(self.uncounted().await? == (true, 0))).await;
        assert_eq!(self.notice().await, Ok(None));

        let broken = former.replace("measures:\n", "measures:\n  rows: {cuont: rows}\n");
        std::fs::write(&file, &broken).expect("writes");
        std::fs::write(self.schemas.join("order.placed.json"), "false").expect("writes");
        let line = broken.lines().position(|line| line.contains("cuont")).expect("a line") + 1;
        let place = format!("{}:{line}: ", file.display());
        eventually("it is told what is wrong", async || {
            Ok(self.notice().await?.is_some_and(|told| told.starts_with(&place)))
        })
        .await;
        // Nothing of it is taken up: not the right schema either, which no order meets.
        let before = self.sold(&second).await.expect("a total");
        eventually("the former one goes on", async || Ok(self.sold(&second).await? > before)).await;
        assert_eq!(self.version().await, Ok(second.clone()));

        std::fs::remove_file(self.schemas.join("order.placed.json")).expect("removes");
        std::fs::write(&file, &former).expect("writes");
        eventually("the first version is served again", async || Ok(self.version().await? == first)).await;
        eventually("it says that it lacks something", async || Ok(self.uncounted().await? == (false, 1))).await;
        assert_eq!(self.notice().await, Ok(None));
        let sent = self.sent.load(Ordering::Relaxed);
        eventually("new types are known from then on", async || {
            std::fs::write(self.schemas.join("parcel.sent.json"), "true").map_err(|e| e.to_string())?;
            let event = json!({"type": "parcel.sent", "source": "depot", "id": "1", "data": {}});
            let answer = self.http.post(format!("{}/v1/events", self.ingestion)).json(&event).send().await;
            Ok(answer.map_err(|e| e.to_string())?.status() == 202)
        })
        .await;
        eventually("some more is sold", async || Ok(self.sent.load(Ordering::Relaxed) > sent + 20)).await;
        self.is_closed.store(true, Ordering::Relaxed);
        [first, second]
    }

    /// Every order is counted, once, by one version or the other.
    async fn settle(&self, versions: &[String]) {
        eventually("the books balance", async || {
            let books = self.get(format!("{}/v1/books", self.reporting)).await?;
            let (is_whole, sent) = (books["balanced"] == true, self.sent.load(Ordering::Relaxed));
            let shop = books["sources"].as_array().into_iter().flatten().find(|books| books["source"] == "shop");
            Ok(is_whole && shop.is_some_and(|books| books["counted"].as_u64() == Some(sent)))
        })
        .await;
        eventually("each order is in one version's total", async || {
            let mut sold = 0.0;
            for version in versions {
                sold += self.sold(version).await?;
            }
            let sent = self.sent.load(Ordering::Relaxed);
            let is_all = (sold - f64::from(u32::try_from(sent).expect("few"))).abs() < 0.5;
            if is_all { Ok(true) } else { Err(format!("{sold} of {sent}")) }
        })
        .await;
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool, String>) {
    let (begun, mut looks) = (Instant::now(), interval(Duration::from_millis(50)));
    loop {
        looks.tick().await;
        match is_so().await {
            Ok(true) => return,
            told => assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; last: {told:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_metric_counts_from_then_on_and_a_wrong_one_changes_nothing() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let mut suite = Suite::start(&own_definitions(folder.path())).await.expect("starts");
    let shop = Shop::new(&suite, folder.path());
    let versions = tokio::select! {
        (versions, ()) = async { tokio::join!(shop.change(), shop.sell()) } => versions,
        why = suite.failed() => panic!("{why}"),
    };
    shop.settle(&versions).await;
    let slowest = shop.slowest.load(Ordering::Relaxed);
    assert!(slowest < 5_000, "an event was answered after {slowest} ms");
    assert!(suite.stop().await, "it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_of_a_folder_and_rules_are_taken_up_too() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let mut options = own_definitions(folder.path());
    let (known, rules) = (folder.path().join("known"), folder.path().join("rules"));
    for name in [&known, &rules] {
        std::fs::create_dir(name).expect("a folder");
    }
    for (name, text) in tidemill_alert::Rules::built_in() {
        std::fs::write(rules.join(name), text).expect("writes");
    }
    options.files.reference.files = vec![known.clone()];
    options.files.definitions.rules = Some(rules.clone());
    let mut suite = Suite::start(&options).await.expect("starts");
    let (shop, alert) = (Shop::new(&suite, folder.path()), format!("http://{}", suite.alert));
    let change = async {
        eventually("sales of a product that is unknown", async || Ok(shop.categories().await? == ["Unknown"])).await;
        std::fs::write(known.join("products.csv"), "id,category\np,Games\n").expect("writes");
        let both = ["Games", "Unknown"];
        eventually("and of one that is known", async || Ok(shop.categories().await? == both)).await;

        std::fs::write(known.join("customers.csv"), "id,country\n1,DE\n,DE\n").expect("writes");
        let place = format!("{}:3: /id", known.join("customers.csv").display());
        eventually("a wrong line is told", async || {
            Ok(shop.notice().await?.is_some_and(|told| told.starts_with(&place)))
        })
        .await;
        std::fs::remove_file(known.join("customers.csv")).expect("removes");
        eventually("all is as it was", async || Ok(shop.notice().await?.is_none())).await;

        std::fs::remove_file(rules.join("fraud_detection.yaml")).expect("removes");
        let left = tidemill_alert::Rules::built_in().len() - 1;
        eventually("the others are left", async || {
            let all = shop.get(format!("{alert}/v1/rules")).await?;
            Ok(all["rules"].as_array().map(Vec::len) == Some(left))
        })
        .await;
        shop.is_closed.store(true, Ordering::Relaxed);
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(change, shop.sell()) } => {}
        why = suite.failed() => panic!("{why}"),
    }
    assert!(suite.stop().await, "it drains");
}

/// Rules are data over an index that does not change: whoever asks gets an answer all the time.
#[tokio::test(flavor = "multi_thread")]
async fn rules_of_recommendation_change_while_it_answers() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let mut options = own_definitions(folder.path());
    let rules = folder.path().join("recommendation.yaml");
    std::fs::write(&rules, "exclude: []\n").expect("writes");
    options.files.definitions.recommendation = Some(rules.clone());
    let mut suite = Suite::start(&options).await.expect("starts");
    let (shop, recommendation) = (Shop::new(&suite, folder.path()), format!("http://{}", suite.recommendation));
    let popular = async || {
        let answer = shop.get(format!("{recommendation}/v1/recommendations/popular")).await?;
        let items = answer["items"].as_array().ok_or_else(|| answer.to_string())?;
        Ok::<_, String>(items.iter().filter_map(|item| item["item"].as_str()).map(str::to_owned).collect::<Vec<_>>())
    };
    let asked = AtomicU64::new(0);
    let ask = async {
        while !shop.is_closed.load(Ordering::Relaxed) {
            popular().await.expect("it answers whatever is changed");
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let change = async {
        eventually("it is learnt", async || Ok(popular().await? == ["p"])).await;
        std::fs::write(&rules, "exclude: [{category: Unknown}]\n").expect("writes");
        eventually("it is excluded", async || Ok(popular().await?.is_empty())).await;
        std::fs::write(&rules, "exclude:\n  - {categroy: Unknown}\n").expect("writes");
        let place = format!("{}:2: ", rules.display());
        eventually("it is told what is wrong", async || {
            Ok(shop.notice().await?.is_some_and(|told| told.starts_with(&place)))
        })
        .await;
        assert_eq!(popular().await, Ok(Vec::new()), "the former ones stay");
        std::fs::write(&rules, "exclude: []\n").expect("writes");
        eventually("it is there again", async || Ok(popular().await? == ["p"])).await;
        shop.is_closed.store(true, Ordering::Relaxed);
    };
    let (sold, sell) = (async { tokio::join!(ask, change) }, shop.sell());
    tokio::select! {
        _ = async { tokio::join!(sold, sell) } => {}
        why = suite.failed() => panic!("{why}"),
    }
    assert!(asked.load(Ordering::Relaxed) > 20, "{asked:?}");
    assert!(suite.stop().await, "it drains");
}
