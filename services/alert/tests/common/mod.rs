//! A running alert service over real servers, and messages to feed it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tidemill_alert::Config;
use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, BaseAmount, Clock, Currency, Partition, ReadAmount, SystemClock, Timestamp};
use tidemill_events::{
    AlertTransition, CellUpdate, DecodeError, Durable, Encoded, EnrichedBatch, Enrichment, HeaderSource, Message,
    MetricsUpdate, RawBatch, StreamName, TraceParent, event::splice_enrichment,
};
use tidemill_service::{Context, Service as _};
use tidemill_testkit::{FakeSlack, TempDir, TestNats, eventually, tempdir};
use tidemill_totals::{Measure, MeasureTotal};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const PARTITION: Partition = Partition::new(1);
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The servers that a service needs, and its folder; they outlive it.
pub(crate) struct Fixture {
    pub(crate) nats: TestNats,
    pub(crate) slack: FakeSlack,
    pub(crate) folder: TempDir,
    pub(crate) bus: Bus,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let nats = TestNats::start().await;
        let config = tidemill_bus::Config { url: nats.url(), partitions: 2, ..tidemill_bus::Config::default() };
        let bus = Bus::connect(&config, "test").await.expect("NATS answers");
        bus.ensure_topology().await.expect("the streams are made");
        Self { nats, slack: FakeSlack::start().await, folder: tempdir(), bus }
    }

    pub(crate) fn toml(&self, more: &str) -> String {
        toml(&self.nats.url(), self.folder.path(), Some(&self.slack.webhook_url()), more)
    }

    pub(crate) async fn start(&self) -> Running {
        Running::start(&self.toml("")).await
    }

    pub(crate) async fn publish(&self, batch: &EnrichedBatch) {
        self.bus.publish(batch).await.expect("published");
    }

    /// Publishes a batch as ingestion and enrichment do, the next one of the log.
    pub(crate) async fn log(&self, batch: &EnrichedBatch) {
        let raw = RawBatch {
            batch_id: uuid::Uuid::from_u128(batch.raw_seq.into()),
            partition: batch.partition,
            ingested_at: batch.ingested_at,
            sources: BTreeMap::new(),
            redriven: Vec::new(),
            lines: "{}\n".into(),
            trace: None,
        };
        assert_eq!(self.bus.publish(&raw).await.expect("published").sequence, batch.raw_seq);
        self.publish(batch).await;
    }

    /// NATS comes back without its disk, and all streams are made anew.
    pub(crate) async fn lose_log(&mut self) {
        self.nats.lose_disk().await;
        eventually("the streams are made", DEADLINE, async || self.bus.ensure_topology().await.ok()).await;
    }

    /// The messages in Slack, as soon as there are `count` of them.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} Slack messages"), DEADLINE, || async {
            let messages = self.slack.messages();
            (messages.len() >= count).then_some(messages)
        })
        .await
    }

    /// The first `count` transitions in ALERTS.
    pub(crate) async fn transitions(&self, count: usize) -> Vec<AlertTransition> {
        let mut subscription = self.bus.subscribe(Durable::ReportingAlerts).await.expect("ALERTS is there");
        let mut transitions = Vec::new();
        while transitions.len() < count {
            let delivery =
                tokio::time::timeout(DEADLINE, subscription.next()).await.expect("in time").expect("delivered");
            transitions.push(delivery.decode().expect("a transition"));
        }
        transitions
    }
}

pub(crate) fn toml(nats: &str, folder: &Path, webhook: Option<&str>, more: &str) -> String {
    toml_with_store(nats, &format!("sqlite://{}/alert.db", folder.display()), webhook, more)
}

/// Of a service with its store at `store`; `more` continues the section `slack`.
pub(crate) fn toml_with_store(nats: &str, store: &str, webhook: Option<&str>, more: &str) -> String {
    let webhook = webhook.map(|url| format!("webhook_url = {url:?}\n")).unwrap_or_default();
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[auth]\nopen = true\n[nats]\nurl = {nats:?}\npartitions = 2\n\
         [store]\nurl = {store:?}\n[links]\njaeger = \"http://jaeger.test/\"\n\
         dashboard = \"http://dash.test/\"\n[slack]\n{webhook}{more}"
    )
}

/// A running service.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) context: Context,
}

impl Running {
    pub(crate) async fn start(toml: &str) -> Self {
        let config: Config = tidemill_service::config::parse(toml).expect("the configuration parses");
        let context = Context::new("alert");
        let handle = tidemill_alert::AlertService::start(config, context.clone()).await.expect("the service starts");
        Self { address: handle.address, context }
    }

    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "the service drains");
        assert_eq!(self.context.failure(), None);
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = reqwest::get(format!("http://{}{path}", self.address)).await.expect("the service answers");
        let status = response.status().as_u16();
        (status, response.json().await.expect("JSON"))
    }

    pub(crate) async fn metrics(&self) -> String {
        let response = reqwest::get(format!("http://{}/metrics", self.address)).await.expect("the service answers");
        response.text().await.expect("text")
    }

    /// Waits until its metrics hold this line: what counts, counts after it has
    /// done the thing itself.
    pub(crate) async fn counts(&self, line: &str) {
        eventually(line, DEADLINE, || async { self.metrics().await.contains(line).then_some(()) }).await;
    }

    /// Waits until readiness gives this reason.
    pub(crate) async fn unready(&self, what: &str) -> String {
        eventually(&format!("not ready: {what}"), DEADLINE, || async { self.context.health.problems().remove(what) })
            .await
    }

    pub(crate) async fn ready(&self) {
        eventually("ready", DEADLINE, || async { self.context.health.is_ready().then_some(()) }).await;
    }

    /// The service's alerts, as soon as they are as asked for.
    pub(crate) async fn alerts(&self, what: &str, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        eventually(what, DEADLINE, || async {
            let (status, body) = self.get("/v1/alerts").await;
            let alerts = body["alerts"].as_array().cloned().unwrap_or_default();
            (status == 200 && are(&alerts)).then_some(alerts)
        })
        .await
    }
}

/// A message as it is to stand in the stream, right or wrong.
pub(crate) struct Prepared(pub(crate) Encoded);

impl Message for Prepared {
    const STREAM: StreamName = StreamName::Enriched;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        Ok(self.0.clone())
    }

    fn decode(_: &impl HeaderSource, _: Bytes) -> Result<Self, DecodeError> {
        Err(DecodeError::Header("Prepared"))
    }
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// An order that the fraud rule does not let pass.
pub(crate) fn fraud(id: &str, subject: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "https://shop.example/web", "type": "order.placed", "time": now(),
        "subject": subject, "clientip": "203.0.113.9", "traceparent": TRACE,
        "data": { "order_id": id, "items": [{ "product_id": "p1", "quantity": 3, "unit_price": 4999.99 }] },
    })
}

pub(crate) fn batch(raw_seq: u64, raw_prev: u64, events: &[Value]) -> EnrichedBatch {
    let enrichment = Enrichment {
        region: "Europe".into(),
        country: Some("GB".into()),
        ip_country: Some("NG".into()),
        ..Enrichment::default()
    };
    let mut lines = Vec::new();
    for event in events {
        splice_enrichment(event.to_string().as_bytes(), &enrichment, &mut lines).expect("serialises");
    }
    EnrichedBatch {
        partition: PARTITION,
        raw_seq,
        raw_prev,
        remade: None,
        ingested_at: now(),
        refdata: 1,
        count: events.len() as u32,
        types: None,
        lines: lines.into(),
        trace: None,
    }
}

/// One partition's revenue of a category in one window.
pub(crate) fn revenue(partition: u16, raw_seq: u64, start: Timestamp, category: &str, revenue: i64) -> MetricsUpdate {
    let metrics = Metrics::load(None).expect("the defaults load");
    let exemplar: Option<TraceParent> = TRACE.parse().ok();
    let mut money = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let amount = ReadAmount { amount: Amount::from_int(revenue), rounded: false };
    money.add_money(amount, Some(BaseAmount { base: Currency::EUR, converted: None }));
    let totals = metrics.get("sales_metrics").expect("is there").totals([
        ("customers", Measure::DistinctKeyed(2).into()),
        ("orders", Measure::DistinctKeyed(3).into()),
        ("quantity", Measure::Sum(Amount::from_int(4)).into()),
        ("revenue", money),
    ]);
    MetricsUpdate {
        partition: Partition::new(partition),
        raw_seq,
        raw_prev: 0,
        part: 0,
        as_of: now(),
        watermark: Some(start),
        idle: false,
        cells: vec![CellUpdate {
            retracted: false,
            group: metrics.get("sales_metrics").expect("is there").cell_group([category, "EUR", "Europe"]),
            start,
            end: start.plus_millis(MINUTE),
            totals,
            exemplar,
        }],
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: exemplar,
    }
}

/// A door before a server: shut, it refuses connections and severs those there
/// are, as a server does that is stopped.
pub(crate) struct Gate {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gate {
    /// An open one before `server`.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_open, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.expect("the server is there");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.changed() => {}
                    }
                });
            }
        });
        Self { address, is_open, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn open(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}
