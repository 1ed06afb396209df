//! A running service over real servers, and visitors to feed it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tidemill_bus::Bus;
use tidemill_domain::{Clock, Partition, SystemClock, Timestamp};
use tidemill_events::{EnrichedBatch, Enrichment, ItemFacts, event::splice_enrichment};
use tidemill_recommendation::Config;
use tidemill_service::{Context, Service as _};
use tidemill_testkit::{TempDir, TestNats, tempdir, try_eventually};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const PARTITIONS: u16 = 2;

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// The servers that a service needs, its folder, and the log of a shop.
pub(crate) struct Shop {
    pub(crate) nats: TestNats,
    pub(crate) folder: TempDir,
    pub(crate) bus: Bus,
    raw_seq: u64,
    floors: BTreeMap<u16, u64>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        tidemill_service::install_crypto();
        let (nats, folder) = (TestNats::start().await, tempdir());
        let config =
            tidemill_bus::Config { url: nats.url(), partitions: PARTITIONS, ..tidemill_bus::Config::default() };
        let bus = Bus::connect(&config, "test").await.expect("NATS answers");
        bus.ensure_topology().await.expect("the streams are made");
        Self { nats, folder, bus, raw_seq: 0, floors: BTreeMap::new() }
    }

    pub(crate) fn sqlite(&self) -> String {
        format!("sqlite://{}/recommendation.db", self.folder.path().display())
    }

    pub(crate) fn toml(&self, store: &str, more: &str) -> String {
        let auth = if more.contains("auth") { "" } else { "auth.open = true\n" };
        format!(
            "{auth}http.listen = '127.0.0.1:0'\nnats.url = '{}'\nnats.partitions = {PARTITIONS}\nstore.url = '{store}'\n{more}",
            self.nats.url()
        )
    }

    pub(crate) async fn start(&self) -> Running {
        Running::start(&self.toml(&self.sqlite(), "")).await
    }

    /// Publishes a batch as enrichment does; answers its sequence in `RAW`.
    pub(crate) async fn publish(&mut self, partition: u16, events: &[(Value, Enrichment)]) -> u64 {
        let batch = self.batch(partition, events);
        self.bus.publish(&batch).await.expect("published");
        batch.raw_seq
    }

    pub(crate) fn batch(&mut self, partition: u16, events: &[(Value, Enrichment)]) -> EnrichedBatch {
        self.raw_seq += 1;
        let mut lines = Vec::new();
        for (event, enrichment) in events {
            splice_enrichment(event.to_string().as_bytes(), enrichment, &mut lines).expect("serialises");
        }
        EnrichedBatch {
            partition: Partition::new(partition),
            raw_seq: self.raw_seq,
            raw_prev: self.floors.insert(partition, self.raw_seq).unwrap_or_default(),
            remade: None,
            ingested_at: now(),
            refdata: 1,
            count: u32::try_from(events.len()).expect("few"),
            types: None,
            lines: lines.into(),
            trace: None,
        }
    }

    /// Visitors who each look at the same products, in the partition of the number.
    pub(crate) async fn visitors(&mut self, names: std::ops::Range<u32>, products: &[&str]) {
        for n in names {
            let views: Vec<_> = products.iter().map(|product| view(&format!("v{n}"), product)).collect();
            self.publish(u16::try_from(n).expect("few") % PARTITIONS, &views).await;
        }
    }
}

pub(crate) fn enrichment(categories: &[&str]) -> Enrichment {
    let facts = |category: &&str| ItemFacts { category: (*category).into(), product: BTreeMap::new() };
    Enrichment { region: "Europe".into(), items: categories.iter().map(facts).collect(), ..Enrichment::default() }
}

/// The category of a product is what stands before the dash.
fn category(product: &str) -> &str {
    product.split_once('-').map_or("Unknown", |(category, _)| category)
}

pub(crate) fn view(customer: &str, product: &str) -> (Value, Enrichment) {
    let data = json!({"product_id": product});
    (event("product.viewed", Some(customer), data), enrichment(&[category(product)]))
}

pub(crate) fn order(customer: &str, products: &[&str]) -> (Value, Enrichment) {
    let items: Vec<Value> =
        products.iter().map(|id| json!({"product_id": id, "quantity": 1, "unit_price": 10})).collect();
    let categories: Vec<&str> = products.iter().map(|product| category(product)).collect();
    let data = json!({"order_id": format!("{customer}-{}", products.join("-")), "items": items});
    (event("order.placed", Some(customer), data), enrichment(&categories))
}

pub(crate) fn event(kind: &str, subject: Option<&str>, data: Value) -> Value {
    let id = format!("{kind}-{}-{}", subject.unwrap_or_default(), now().millis());
    let mut event =
        json!({"specversion": "1.0", "id": id, "source": "shop", "type": kind, "time": now(), "data": data});
    if let Some(subject) = subject {
        event["subject"] = subject.into();
    }
    event
}

/// A running service.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) context: Context,
    client: reqwest::Client,
}

impl Running {
    pub(crate) async fn start(toml: &str) -> Self {
        let config: Config = tidemill_service::config::parse(toml).expect("the configuration parses");
        let context = Context::new("recommendation");
        let started = tidemill_recommendation::RecommendationService::start(config, context.clone()).await;
        Self { address: started.expect("the service starts").address, context, client: reqwest::Client::new() }
    }

    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "the service drains");
        assert_eq!(self.context.failure(), None);
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.expect("the service answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await;
        answer.expect("the service answers").text().await.expect("a text")
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.client.get(format!("http://{}{path}", self.address))).await
    }

    pub(crate) async fn get_with(&self, path: &str, key: &str) -> (u16, Value) {
        self.send(self.client.get(format!("http://{}{path}", self.address)).bearer_auth(key)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(self.client.delete(format!("http://{}{path}", self.address))).await
    }

    pub(crate) async fn delete_with(&self, path: &str, key: &str) -> (u16, Value) {
        self.send(self.client.delete(format!("http://{}{path}", self.address)).bearer_auth(key)).await
    }

    /// The answer, once it is as it should be.
    pub(crate) async fn until(&self, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        try_eventually(path, DEADLINE, async || {
            let (status, answer) = self.get(path).await;
            if status == 200 && is_right(&answer) { Ok(answer) } else { Err((status, answer)) }
        })
        .await
    }

    /// Waits until a batch of a partition is learnt.
    pub(crate) async fn learnt(&self, partition: u16, raw_seq: u64) {
        let is_there = |answer: &Value| {
            let partitions = answer["model"]["partitions"].as_array().expect("a list");
            partitions.iter().any(|place| {
                place["partition"] == partition && place["raw_sequence"].as_u64().is_some_and(|seq| seq >= raw_seq)
            })
        };
        self.until("/v1/recommendations/popular", is_there).await;
    }
}

/// The items of an answer.
pub(crate) fn ids(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().expect("a list");
    items.iter().map(|item| item["item"].as_str().expect("an id")).collect()
}
