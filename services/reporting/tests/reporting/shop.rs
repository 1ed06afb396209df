//! A running service on a NATS of its own, and the messages of a small shop.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::Value as Json;
use tidemill_bus::Bus;
use tidemill_definitions::{MetricDefinition, Metrics};
use tidemill_domain::{Amount, BaseAmount, Currency, Partition, ReadAmount, SharedClock, Timestamp};
use tidemill_events::{
    AlertState, AlertTransition, CellUpdate, DeadLetter, MetricsUpdate, RawBatch, SourceBooks, TraceParent,
};
use tidemill_reporting::Config;
use tidemill_service::{Context, Service as _, config};
use tidemill_testkit::{TempDir, TestNats, tempdir, try_eventually};
use tidemill_totals::{Measure, MeasureTotal, Value};
use uuid::Uuid;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// What a source or a category may be called.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script>, \"a\" \u{1f600}";
pub(crate) const MINUTE: i64 = 60_000;
/// 2026-03-01T10:00:00Z, on the hour.
pub(crate) const TEN: i64 = 1_772_359_200_000;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(TEN + millis)
}

/// NATS, a folder for the store, and a publisher.
pub(crate) struct Shop {
    pub(crate) nats: TestNats,
    pub(crate) folder: TempDir,
    pub(crate) bus: Bus,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        tidemill_service::install_crypto();
        let (nats, folder) = (TestNats::start().await, tempdir());
        let config = tidemill_bus::Config { url: nats.url(), ..tidemill_bus::Config::default() };
        let bus = Bus::connect(&config, "test").await.expect("connects");
        bus.ensure_topology().await.expect("streams");
        Self { nats, folder, bus }
    }

    pub(crate) async fn report(&self, more: &str) -> Running {
        self.replica(&self.sqlite(), more).await
    }

    /// The store of a single replica.
    pub(crate) fn sqlite(&self) -> String {
        format!("sqlite://{}/r.db", self.folder.path().display())
    }

    /// One of the replicas on a store.
    pub(crate) async fn replica(&self, store: &str, more: &str) -> Running {
        Running::start(&self.nats.url(), store, more, Context::new("reporting")).await
    }

    /// One of the replicas on a store, with a clock of one's own.
    pub(crate) async fn replica_by(&self, store: &str, more: &str, clock: SharedClock) -> Running {
        Running::start(&self.nats.url(), store, more, Context::with_clock("reporting", clock)).await
    }

    /// A service with a clock of one's own.
    pub(crate) async fn report_by(&self, clock: SharedClock) -> Running {
        Running::start(&self.nats.url(), &self.sqlite(), "", Context::with_clock("reporting", clock)).await
    }
}

/// A running service.
pub(crate) struct Running {
    pub(crate) context: Context,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
}

impl Running {
    async fn start(nats: &str, store: &str, more: &str, context: Context) -> Self {
        let auth = if more.contains("auth.") { "" } else { "auth.open = true\n" };
        let text = format!("{auth}http.listen = '127.0.0.1:0'\nnats.url = '{nats}'\nstore.url = '{store}'\n{more}");
        let config: Config = config::parse(&text).expect("a right configuration");
        let handle = tidemill_reporting::ReportingService::start(config, context.clone()).await.expect("starts");
        Self { context, address: handle.address, client: reqwest::Client::new() }
    }

    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "it drains");
        assert_eq!(self.context.failure(), None);
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    /// Posts JSON, and gives status and answer.
    pub(crate) async fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        let answer = self.client.post(format!("http://{}{path}", self.address)).json(body).send().await.expect(path);
        (answer.status().as_u16(), answer.json().await.expect(path))
    }

    pub(crate) async fn json(&self, path: &str) -> Json {
        let answer = self.get(path).send().await.expect(path);
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect(path)
    }

    /// The answer, once it is as it should be.
    pub(crate) async fn until(&self, path: &str, is_right: impl Fn(&Json) -> bool) -> Json {
        try_eventually(path, DEADLINE, async || {
            let answer = self.json(path).await;
            if is_right(&answer) { Ok(answer) } else { Err(answer) }
        })
        .await
    }

    pub(crate) async fn problem(&self, path: &str) -> (u16, Json) {
        let answer = self.get(path).send().await.expect(path);
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        (answer.status().as_u16(), answer.json().await.expect(path))
    }
}

/// The default `sales_metrics`.
pub(crate) fn sales() -> MetricDefinition {
    Metrics::load(None).expect("the defaults").get("sales_metrics").expect("one").clone()
}

/// Measures of `sales_metrics` that the tests make up.
const MADE_UP: [&str; 4] = ["customers", "orders", "quantity", "revenue"];

/// A row or point with those measures alone.
pub(crate) fn made_up(mut row: Json) -> Json {
    for part in ["values", "converted", "unconverted"] {
        if let Some(measures) = row.get_mut(part).and_then(Json::as_object_mut) {
            measures.retain(|name, _| MADE_UP.contains(&name.as_str()));
        }
    }
    row
}

/// The same of CSV: names and cells of the columns that are left.
pub(crate) fn made_up_csv(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().expect("a header").clone();
    let measure = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let is_other = |name: &str| sales().measures.contains_key(&measure(name)) && !MADE_UP.contains(&&*measure(name));
    let kept: Vec<usize> =
        (0..header.len()).filter(|at| !is_other(&header[*at]) && &header[*at] != "approximate").collect();
    let rows = [header].into_iter().chain(reader.records().map(|row| row.expect("reads")));
    rows.map(|row| kept.iter().map(|at| row[*at].to_owned()).collect()).collect()
}

pub(crate) fn version() -> String {
    sales().version().to_owned()
}

/// Of a shop whose sales are in euro, its base currency.
pub(crate) fn cell(minute: i64, category: &str, region: &str, orders: u64, cents: i128) -> CellUpdate {
    let mut revenue = MeasureTotal::from(Measure::Sum(Amount::ZERO));
    let amount = ReadAmount { amount: Amount::from_micros(cents * 10_000), rounded: false };
    revenue.add_money(amount, Some(BaseAmount { base: Currency::EUR, converted: None }));
    cell_of(minute, category, region, orders, ("EUR", revenue))
}

/// With its revenue, and the currency of that.
pub(crate) fn cell_of(
    minute: i64,
    category: &str,
    region: &str,
    orders: u64,
    (currency, revenue): (&str, MeasureTotal),
) -> CellUpdate {
    let totals = sales().totals([
        ("customers", Measure::DistinctKeyed(1).into()),
        ("orders", Measure::DistinctKeyed(orders).into()),
        ("quantity", Measure::Sum(Amount::from_int(2)).into()),
        ("revenue", revenue),
    ]);
    CellUpdate {
        retracted: false,
        group: sales().cell_group([category, currency, region]),
        start: at(minute * MINUTE),
        end: at((minute + 1) * MINUTE),
        totals,
        exemplar: None,
    }
}

pub(crate) fn update(partition: u16, raw_seq: u64, cells: Vec<CellUpdate>) -> MetricsUpdate {
    MetricsUpdate {
        partition: Partition::new(partition),
        raw_seq,
        raw_prev: 0,
        part: 0,
        as_of: at(0),
        watermark: Some(at(2 * MINUTE)),
        idle: false,
        cells,
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: TraceParent::new(7, 9, true),
    }
}

pub(crate) fn status(partition: u16, raw_seq: u64) -> MetricsUpdate {
    MetricsUpdate { idle: true, as_of: at(9), ..update(partition, raw_seq, Vec::new()) }
}

pub(crate) fn outcomes(counted: u64, late: u64, duplicate: u64) -> SourceBooks {
    // Every duplicate is one by its business key.
    SourceBooks { source: HOSTILE.into(), hour: at(0), counted, late, duplicate, repeated: duplicate }
}

pub(crate) fn batch(id: u128, partition: u16, events: u32) -> RawBatch {
    RawBatch {
        redriven: Vec::new(),
        batch_id: Uuid::from_u128(id),
        partition: Partition::new(partition),
        ingested_at: at(1234),
        sources: BTreeMap::from([(HOSTILE.to_owned(), events)]),
        lines: "{}\n".repeat(events as usize).into(),
        trace: None,
    }
}

/// Of an alert about hostile text.
pub(crate) fn transition(id: u128, state: AlertState, millis: i64) -> AlertTransition {
    AlertTransition {
        id: Uuid::from_u128(id),
        rule: "FRAUD_DETECTION".into(),
        rule_version: "1".into(),
        severity: "critical".into(),
        state,
        title: HOSTILE.into(),
        summary: "above".into(),
        dimensions: BTreeMap::from([("category".into(), HOSTILE.into())]),
        values: BTreeMap::from([("revenue".into(), Value::Amount(Amount::from_int(3)))]),
        event_time: at(0),
        at: at(millis),
        partition: Partition::new(0),
        raw_seq: 1,
        trace: TraceParent::new(7, 9, true),
    }
}

pub(crate) fn letter(id: &str, service: &str, body: impl Into<Vec<u8>>) -> DeadLetter {
    DeadLetter {
        pointer: Some("/data/x".into()),
        first_failed_at: at(1300),
        source: HOSTILE.into(),
        event_id: Some("e-1".into()),
        trace: TraceParent::new(7, 9, true),
        body: body.into().into(),
        ..DeadLetter::new(service, id.into(), "schema_violation", format!("{HOSTILE} is missing"))
    }
}
