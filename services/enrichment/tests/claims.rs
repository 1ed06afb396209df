//! Customers as `identify` calls tell of them, over the log and HTTP: `RAW` in,
//! `ENRICHED` out, and what `/v1/reference/customers` says.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use tidemill_bus::{Bus, Subscription};
use tidemill_domain::{Clock, Partition, SystemClock, Timestamp};
use tidemill_enrichment::{BUILT_IN_SHOP, Config, EnrichmentService};
use tidemill_events::{Durable, EnrichedBatch, Enrichment, EventRef, QualityFlag, RawBatch, event};
use tidemill_service::{Context, Handle, Service as _};
use tidemill_testkit::{TempDir, TestNats, eventually, tempdir, try_eventually};

const DEADLINE: Duration = Duration::from_secs(20);
/// Where the customer's calls lie, and where the orders do.
const CALLS: Partition = Partition::new(0);
const ORDERS: Partition = Partition::new(1);
const KEY: &str = "key-of-the-tests";

/// The log, and a place for stores and definitions.
struct Shop {
    nats: TestNats,
    folder: TempDir,
    bus: Bus,
    batches: u128,
}

struct Replica {
    context: Context,
    handle: Handle,
}

/// What was enriched in a partition.
struct Enriched(Subscription);

impl Shop {
    async fn new() -> Self {
        let (nats, folder) = (TestNats::start().await, tempdir());
        let config = tidemill_bus::Config { url: nats.url(), partitions: 2, timeout_seconds: 2, ..Default::default() };
        let bus = Bus::connect(&config, "test").await.expect("connects");
        bus.ensure_topology().await.expect("makes the streams");
        Self { nats, folder, bus, batches: 0 }
    }

    /// A replica of a shop that lets events change customers as the definition suggests.
    async fn allowing(&self) -> Replica {
        let (before, section) = BUILT_IN_SHOP.split_once("# customer_changes:").expect("is there");
        let lines = section.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let text = format!("{before}customer_changes:{}\n", lines.collect::<Vec<_>>().join("\n"));
        let file = self.folder.path().join("shop.yaml");
        std::fs::write(&file, text).expect("writes");
        Replica::start(&self.nats, self.folder.path(), &format!("shop.definition = \"{}\"\n", file.display())).await
    }

    async fn by_default(&self) -> Replica {
        Replica::start(&self.nats, self.folder.path(), "").await
    }

    async fn enriched(&self, partition: Partition) -> Enriched {
        Enriched(self.bus.subscribe(Durable::Aggregation(partition)).await.expect("subscribes"))
    }

    async fn publish(&mut self, partition: Partition, events: &[Value]) {
        self.batches += 1;
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let batch = RawBatch {
            redriven: Vec::new(),
            batch_id: uuid::Uuid::from_u128(self.batches),
            partition,
            ingested_at: SystemClock.now(),
            sources: BTreeMap::from([("shop".into(), u32::try_from(lines.len()).expect("few"))]),
            lines: lines.join("\n").into(),
            trace: None,
        };
        self.bus.publish(&batch).await.expect("publishes");
    }
}

impl Replica {
    async fn start(nats: &TestNats, folder: &Path, more: &str) -> Self {
        tidemill_service::install_crypto();
        let text = format!(
            "http.listen = \"127.0.0.1:0\"\nnats = {{ url = \"{}\", partitions = 2, timeout_seconds = 2 }}\n\
             store.url = \"sqlite://{}/enrichment.db\"\nauth.operate = \"tests {KEY}\"\n\
             reference = {{ poll_millis = 100, lead_seconds = 1 }}\n{more}",
            nats.url(),
            folder.display()
        );
        let config: Config = tidemill_service::config::parse(&text).expect("is valid");
        let context = Context::new("enrichment");
        let handle = EnrichmentService::start(config, context.clone()).await.expect("starts");
        try_eventually("ready", DEADLINE, || async {
            let problems = context.health.problems();
            if problems.is_empty() && context.health.is_ready() { Ok(()) } else { Err(problems) }
        })
        .await;
        Self { context, handle }
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let address = format!("http://{}{path}", self.handle.address);
        let request = reqwest::Client::new().request(method, address).bearer_auth(KEY);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        let response = request.send().await.expect("answers");
        (response.status().as_u16(), response.json().await.expect("is JSON"))
    }

    /// What is known of a customer: all changes, the latest first.
    async fn changes(&self, id: &str) -> Vec<Value> {
        let (_, body) = self.ask(reqwest::Method::GET, &format!("/v1/reference/customers/{id}"), None).await;
        body["changes"].as_array().cloned().unwrap_or_default()
    }

    /// The changes of a customer once there are so many, and this replica joins with them.
    async fn known(&self, id: &str, count: usize) -> Vec<Value> {
        eventually("it is known", DEADLINE, || async {
            let changes = self.changes(id).await;
            let learned = self.learned().await;
            (changes.len() >= count && learned >= changes[0]["version"].as_u64()).then_some(changes)
        })
        .await
    }

    /// The version of the reference data that events are joined with.
    async fn learned(&self) -> Option<u64> {
        let answer = reqwest::get(format!("http://{}/metrics", self.handle.address)).await.expect("answers");
        let text = answer.text().await.expect("reads");
        let value = text.lines().find_map(|line| line.strip_prefix("tidemill_enrichment_reference_version "));
        value.and_then(|value| value.parse().ok())
    }

    async fn version(&self) -> Value {
        self.ask(reqwest::Method::GET, "/v1/reference/customers", None).await.1["version"].clone()
    }

    async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "drains");
        assert_eq!(self.context.failure(), None);
    }
}

impl Enriched {
    async fn next(&mut self) -> Vec<Enrichment> {
        let delivery = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("in time").expect("is delivered");
        delivery.ack().await.expect("is acknowledged");
        let batch: EnrichedBatch = delivery.decode().expect("decodes");
        let enrichment = |line| serde_json::from_slice::<EventRef<'_>>(line).expect("an event").enriched;
        event::lines(&batch.lines).map(|line| enrichment(line).expect("is enriched")).collect()
    }

    /// The region of the one event that comes next.
    async fn region(&mut self) -> String {
        let all = self.next().await;
        assert_eq!(all.len(), 1);
        all[0].region.clone()
    }
}

/// As ingestion writes a call: `user_id` is there where the visitor is known.
fn identify(id: &str, time: Timestamp, data: Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "shop", "type": "segment.identify", "time": time,
        "subject": "C-1", "data": data})
}

fn order(id: &str, time: Timestamp) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "shop", "type": "order.placed", "time": time, "subject": "C-1",
        "partitionkey": id, "data": {"order_id": id, "items": []}})
}

fn ago(seconds: i64) -> Timestamp {
    SystemClock.now().plus_millis(-1000 * seconds)
}

#[tokio::test]
async fn an_identified_customers_orders_have_a_region() {
    let mut shop = Shop::new().await;
    let mut orders = shop.enriched(ORDERS).await;
    let replica = shop.allowing().await;
    shop.publish(ORDERS, &[order("o-0", ago(60))]).await;
    assert_eq!(orders.region().await, "Unknown");

    let told =
        json!({"user_id": "C-1", "email": "a@shop.example", "address": {"country": "Deutschland"}, "plan": "gold"});
    let call = identify("i-1", ago(50), told);
    shop.publish(CALLS, std::slice::from_ref(&call)).await;
    let known = replica.known("C-1", 1).await;
    assert_eq!(known[0]["attributes"], json!({"country": "DE", "plan": "gold"}), "what is named, and nothing more");
    assert_eq!((&known[0]["valid_from"], &known[0]["claimed_at"]), (&Value::Null, &call["time"]));

    // Also one that came late, and happened before.
    shop.publish(ORDERS, &[order("o-1", ago(100))]).await;
    let joined = orders.next().await.remove(0);
    assert_eq!((joined.region.as_str(), joined.country.as_deref()), ("Europe", Some("DE")));
    assert_eq!(joined.customer["plan"], "gold");
    assert!(joined.quality.is_empty(), "{joined:?}");

    // The same call again, as a duplicate, changes nothing, and a restart reads no batch twice.
    let mut calls = shop.enriched(CALLS).await;
    calls.next().await;
    shop.publish(CALLS, &[call]).await;
    assert!(calls.next().await[0].duplicate);
    let version = replica.version().await;
    replica.stop().await;
    let replica = shop.allowing().await;
    assert_eq!(replica.version().await, version);

    // They have moved: it holds from a moment on that every replica hears of before.
    let moved = json!({"user_id": "C-1", "address": {"country": "FR"}, "plan": null});
    shop.publish(CALLS, &[identify("i-2", ago(10), moved)]).await;
    let known = replica.known("C-1", 2).await;
    assert_eq!(known[0]["attributes"], json!({"country": "FR", "plan": "gold"}));
    let from: Timestamp = known[0]["valid_from"].as_str().expect("a time").parse().expect("a time");
    assert!(from > SystemClock.now().plus_millis(-5_000), "{from}");
    shop.publish(ORDERS, &[order("o-2", from.plus_millis(-1))]).await;
    assert_eq!(orders.next().await[0].country.as_deref(), Some("DE"));
    shop.publish(ORDERS, &[order("o-3", from)]).await;
    assert_eq!(orders.next().await[0].country.as_deref(), Some("FR"));
    replica.stop().await;
}

#[tokio::test]
async fn what_may_not_change_a_customer_does_not() {
    let mut shop = Shop::new().await;
    let mut calls = shop.enriched(CALLS).await;
    let replica = shop.allowing().await;
    // A visitor of whom nobody knows who it is.
    let anonymous = identify("i-1", ago(50), json!({"country": "DE", "plan": "gold"}));
    // A country that is in no table, beside a long value.
    let atlantis = identify("i-2", ago(50), json!({"user_id": "C-1", "country": "Atlantis", "plan": "x".repeat(300)}));
    let long = identify("i-3", ago(50), json!({"user_id": "c".repeat(300), "country": "DE"}));
    shop.publish(CALLS, &[anonymous, atlantis, long]).await;
    let joined = calls.next().await;
    let has = |place: usize, flag| joined[place].quality.contains(&flag);
    assert!(!has(0, QualityFlag::AttributeUnread));
    assert!(has(1, QualityFlag::CountryUnknown) && has(1, QualityFlag::AttributeUnread), "{joined:?}");
    assert!(has(2, QualityFlag::AttributeUnread) && !has(2, QualityFlag::CountryUnknown), "{joined:?}");

    // One of before that comes late, after a newer one, and what a person has set.
    let told = |id: &str, seconds, customer: &str, country: &str| {
        identify(id, ago(seconds), json!({"user_id": customer, "country": country}))
    };
    let put = json!({"country": "AT"});
    assert_eq!(replica.ask(reqwest::Method::PUT, "/v1/reference/customers/C-9", Some(put)).await.0, 200);
    shop.publish(CALLS, &[told("i-4", 20, "C-1", "FR"), told("i-5", 30, "C-1", "DE")]).await;
    assert_eq!(replica.known("C-1", 1).await[0]["attributes"], json!({"country": "FR"}));
    shop.publish(CALLS, &[told("i-6", 30, "C-1", "DE"), told("i-7", 5, "C-9", "FR"), told("i-8", 5, "C-2", "IT")])
        .await;
    replica.known("C-2", 1).await;
    assert_eq!(replica.changes("C-1").await.len(), 1);
    let set = replica.changes("C-9").await;
    assert_eq!((set.len(), &set[0]["attributes"]), (1, &json!({"country": "AT"})));
    assert_eq!(set[0].get("claimed_at"), None);
    assert_eq!(replica.version().await, 3);

    // A person takes over what was claimed, for all of the past.
    let put = json!({"country": "CH"});
    let (status, body) = replica.ask(reqwest::Method::PUT, "/v1/reference/customers/C-2", Some(put)).await;
    assert_eq!((status, body), (200, json!({"version": 4, "changed": true, "valid_from": null})));
    replica.stop().await;
}

#[tokio::test]
async fn by_default_no_event_changes_a_customer() {
    let mut shop = Shop::new().await;
    let (mut calls, mut orders) = (shop.enriched(CALLS).await, shop.enriched(ORDERS).await);
    let replica = shop.by_default().await;
    shop.publish(CALLS, &[identify("i-1", ago(50), json!({"user_id": "C-1", "country": "DE"}))]).await;
    calls.next().await;
    shop.publish(CALLS, &[identify("i-2", ago(40), json!({"user_id": "C-1", "country": "DE"}))]).await;
    calls.next().await;
    shop.publish(ORDERS, &[order("o-1", ago(1))]).await;
    assert_eq!(orders.region().await, "Unknown");
    replica.stop().await;
    // Everything is stored by now.
    let replica = shop.by_default().await;
    assert_eq!(replica.version().await, 0);
    replica.stop().await;
}

/// Two replicas, of which each has a partition: who has the orders hears of the call.
#[tokio::test]
async fn another_partitions_owner_hears_of_it() {
    let mut shop = Shop::new().await;
    let mut orders = shop.enriched(ORDERS).await;
    let (one, two) = (shop.allowing().await, shop.allowing().await);
    for (count, seconds, country) in [(1, 50, "DE"), (2, 40, "FR")] {
        let told = json!({"user_id": "C-1", "country": country});
        shop.publish(CALLS, &[identify(&format!("i-{count}"), ago(seconds), told)]).await;
        one.known("C-1", count).await;
        let known = two.known("C-1", count).await;
        let from = known[0]["valid_from"].as_str().map(|text| text.parse::<Timestamp>().expect("a time"));
        // When it holds, everybody knows of it.
        let holds = from.unwrap_or_else(|| SystemClock.now());
        eventually("it holds", DEADLINE, || async { (SystemClock.now() >= holds).then_some(()) }).await;
        shop.publish(ORDERS, &[order(&format!("o-{count}"), holds)]).await;
        assert_eq!(orders.next().await[0].country.as_deref(), Some(country));
    }
    one.stop().await;
    two.stop().await;
}
