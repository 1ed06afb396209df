//! A log that is made anew under the service.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tidemill_aggregation::{AggregationService, Config};
use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, MetricsUpdate, RawBatch, StreamName, topology};
use tidemill_service::{Context, Service as _};
use tidemill_testkit::{Postgres, TestNats, eventually, jetstream, skipped, tempdir, try_eventually};

const DEADLINE: Duration = Duration::from_secs(30);
const P: Partition = Partition::new(0);

struct Shop {
    nats: TestNats,
    bus: Bus,
    /// Batches so far, of any log: each comes in a second after the one before it.
    published: AtomicI64,
}

impl Shop {
    async fn open() -> Self {
        tidemill_service::install_crypto();
        let nats = TestNats::start().await;
        let bus = Bus::connect(&config(&nats), "test").await.expect("connects");
        bus.ensure_topology().await.expect("streams");
        Self { nats, bus, published: AtomicI64::new(0) }
    }

    async fn start(&self, store: &str) -> Context {
        let text = format!(
            "http.listen = \"127.0.0.1:0\"\nnats = {{ url = \"{}\", partitions = 1, timeout_seconds = 2 }}\n\
             store.url = \"{store}\"\nauth.open = true\nmetrics_store.kind = \"builtin\"\n",
            self.nats.url()
        );
        let config: Config = tidemill_service::config::parse(&text).expect("is valid");
        let context = Context::new("aggregation");
        AggregationService::start(config, context.clone()).await.expect("starts");
        context
    }

    /// A batch of the log, as ingestion and enrichment publish it; answers its sequence.
    async fn publish(&self, raw_prev: u64) -> u64 {
        let n = self.published.fetch_add(1, Ordering::Relaxed);
        let id = uuid::Uuid::from_u128(n.unsigned_abs().into());
        // All of one hour, which is one line of the books.
        let ingested_at = Timestamp::saturating_from_millis(1_767_323_045_000 + n * 1000);
        let line = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"product.viewed","time":"{ingested_at}","data":{{"product_id":"p"}},"enriched":{{"refdata":1,"region":"Europe","items":[{{"category":"Books"}}]}}}}"#
        );
        let raw = RawBatch {
            redriven: Vec::new(),
            batch_id: id,
            partition: P,
            ingested_at,
            sources: BTreeMap::from([("shop".into(), 1)]),
            lines: "{}\n".into(),
            trace: None,
        };
        let raw_seq = self.bus.publish(&raw).await.expect("publishes").sequence;
        let batch = EnrichedBatch {
            partition: P,
            raw_seq,
            raw_prev,
            remade: None,
            ingested_at,
            refdata: 1,
            count: 1,
            types: None,
            lines: (line + "\n").into(),
            trace: None,
        };
        self.bus.publish(&batch).await.expect("publishes");
        raw_seq
    }

    /// Waits until all up to a batch is counted, and that is stored; answers how many events that are.
    async fn counted(&self, raw_seq: u64) -> u64 {
        let reached = try_eventually("it is counted", DEADLINE, async || {
            let last = self.bus.last::<MetricsUpdate>(&topology::metrics(P)).await;
            let last = last.ok().flatten().map(|stored| stored.message);
            match last {
                Some(update) if update.raw_seq == raw_seq && !update.books.is_empty() => Ok(update),
                other => Err(other),
            }
        })
        .await;
        let lag = async || self.bus.lag(Durable::Aggregation(P)).await.ok();
        eventually("it is stored", DEADLINE, async || (lag().await == Some(0)).then_some(())).await;
        reached.books.iter().map(|books| books.counted).sum()
    }
}

fn config(nats: &TestNats) -> tidemill_bus::Config {
    tidemill_bus::Config { url: nats.url(), partitions: 1, timeout_seconds: 2, ..Default::default() }
}

async fn stopped(context: Context) {
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
    assert_eq!(context.failure(), None);
}

async fn foreign(context: &Context) -> String {
    let told = async || context.health.problems().remove("partition");
    eventually("another log is told of", DEADLINE, async || told().await.filter(|told| told.contains("foreign_log")))
        .await
}

async fn nothing_of_another_log_is_counted(store: &str) {
    let mut shop = Shop::open().await;
    let context = shop.start(store).await;
    for raw_seq in 1..=3 {
        assert_eq!(shop.publish(raw_seq - 1).await, raw_seq);
    }
    assert_eq!(shop.counted(3).await, 3);
    shop.nats.lose_disk().await;
    eventually("streams", DEADLINE, async || shop.bus.ensure_topology().await.ok()).await;
    // The new log has come further than the old one before anybody has looked.
    for raw_seq in 1..=5 {
        assert_eq!(shop.publish(raw_seq - 1).await, raw_seq);
    }
    let told = foreign(&context).await;
    assert!(told.contains("RAW has at 3 what came in at "), "{told}");
    // What was counted before may be told again, and nothing else.
    let last = shop.bus.last::<MetricsUpdate>(&topology::metrics(P)).await.expect("answers");
    assert!(last.as_ref().is_none_or(|last| last.message.raw_seq == 3), "{last:?}");
    stopped(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_log_is_counted_on_sqlite() {
    let folder = tempdir();
    nothing_of_another_log_is_counted(&format!("sqlite://{}/store.db", folder.path().display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_log_is_counted_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("nothing_of_another_log_is_counted_on_postgresql", "no PostgreSQL is installed");
    };
    nothing_of_another_log_is_counted(&postgres.url()).await;
}

/// Readers keep what reaches further: totals of a new log behind those of an old one would be
/// seen by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_another_log_is_not_gone_on_with() {
    let (shop, folder) = (Shop::open().await, tempdir());
    let store = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    let context = shop.start(&store("store")).await;
    for raw_seq in 1..=3 {
        shop.publish(raw_seq - 1).await;
    }
    shop.counted(3).await;
    stopped(context).await;
    for stream in [StreamName::Raw, StreamName::Enriched] {
        jetstream(&shop.nats.url(), &format!("STREAM.DELETE.{stream}"), "").await;
    }
    shop.bus.ensure_topology().await.expect("streams");
    assert_eq!(shop.publish(0).await, 1);
    let context = shop.start(&store("empty")).await;
    assert!(foreign(&context).await.contains("RAW ends at 1, before 3"));
    stopped(context).await;
}

/// What is counted stays, where the new log begins behind the old one.
#[tokio::test(flavor = "multi_thread")]
async fn totals_go_on_in_a_log_that_begins_behind_the_lost_one() {
    let (mut shop, folder) = (Shop::open().await, tempdir());
    let context = shop.start(&format!("sqlite://{}/store.db", folder.path().display())).await;
    for raw_seq in 1..=3 {
        shop.publish(raw_seq - 1).await;
    }
    assert_eq!(shop.counted(3).await, 3);
    shop.nats.lose_disk().await;
    eventually("streams", DEADLINE, async || shop.bus.ensure_topology().await.ok()).await;
    jetstream(&shop.nats.url(), "STREAM.PURGE.RAW", r#"{"seq":1000000000}"#).await;
    assert_eq!(shop.publish(3).await, 1_000_000_000);
    assert_eq!(shop.counted(1_000_000_000).await, 4, "with those that the lost log had");
    stopped(context).await;
}
