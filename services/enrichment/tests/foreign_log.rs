//! A log that is made anew, under the service or while it is away.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tidemill_bus::Bus;
use tidemill_domain::{Clock, Partition, SystemClock};
use tidemill_enrichment::{Config, EnrichmentService};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, StreamName, topology};
use tidemill_service::{Context, Service as _};
use tidemill_testkit::{Postgres, TempDir, TestNats, eventually, jetstream, skipped, tempdir, try_eventually};

const DEADLINE: Duration = Duration::from_secs(30);
const PARTITION: Partition = Partition::new(1);
/// Of which nothing comes while the log is the right one.
const OTHER: Partition = Partition::new(0);

/// The log of a shop, and who enriches it.
struct Shop {
    nats: TestNats,
    bus: Bus,
    folder: TempDir,
    published: u128,
}

impl Shop {
    async fn open() -> Self {
        tidemill_service::install_crypto();
        let nats = TestNats::start().await;
        let config = tidemill_bus::Config { url: nats.url(), partitions: 2, timeout_seconds: 2, ..Default::default() };
        let bus = Bus::connect(&config, "test").await.expect("connects");
        bus.ensure_topology().await.expect("makes the streams");
        Self { nats, bus, folder: tempdir(), published: 0 }
    }

    fn sqlite(&self, name: &str) -> String {
        format!("sqlite://{}/{name}.db", self.folder.path().display())
    }

    async fn start(&self, store: &str) -> Context {
        let text = format!(
            "http.listen = \"127.0.0.1:0\"\nnats = {{ url = \"{}\", partitions = 2, timeout_seconds = 2 }}\n\
             store.url = \"{store}\"\nauth.open = true\n",
            self.nats.url()
        );
        let config: Config = tidemill_service::config::parse(&text).expect("is valid");
        let context = Context::new("enrichment");
        EnrichmentService::start(config, context.clone()).await.expect("starts");
        context
    }

    /// Publishes a batch; answers its sequence.
    async fn publish(&mut self) -> u64 {
        self.publish_to(PARTITION).await
    }

    async fn publish_to(&mut self, partition: Partition) -> u64 {
        self.published += 1;
        let id = format!("e-{}", self.published);
        let event = json!({"specversion": "1.0", "id": id, "source": "shop", "type": "product.viewed", "time":
            "2026-01-02T03:04:05Z", "subject": "C-7", "data": {"product_id": "P-1"}});
        let batch = RawBatch {
            redriven: Vec::new(),
            batch_id: uuid::Uuid::from_u128(self.published),
            partition,
            ingested_at: SystemClock.now(),
            sources: BTreeMap::from([("shop".into(), 1)]),
            lines: event.to_string().into(),
            trace: None,
        };
        self.bus.publish(&batch).await.expect("publishes").sequence
    }

    /// Waits until a batch is enriched, and that is stored: the one behind `raw_prev`.
    async fn enriched(&self, raw_seq: u64, raw_prev: u64) {
        let last = async || {
            let last = self.bus.last::<EnrichedBatch>(&topology::enriched(PARTITION)).await;
            last.ok().flatten().map(|stored| (stored.message.raw_seq, stored.message.raw_prev))
        };
        try_eventually("it is enriched", DEADLINE, async || match last().await {
            Some(place) if place == (raw_seq, raw_prev) => Ok(()),
            other => Err(other),
        })
        .await;
        let lag = async || self.bus.lag(Durable::Enrichment(PARTITION)).await.ok();
        eventually("it is stored", DEADLINE, async || (lag().await == Some(0)).then_some(())).await;
    }

    /// Empties streams as somebody does who deletes them.
    async fn lose(&self, streams: &[StreamName]) {
        for stream in streams {
            let answer = jetstream(&self.nats.url(), &format!("STREAM.DELETE.{stream}"), "").await;
            assert!(answer.contains("\"success\":true"), "{answer}");
        }
        self.bus.ensure_topology().await.expect("makes the streams");
    }

    async fn enriched_batches(&self) -> u64 {
        self.bus.end(StreamName::Enriched).await.expect("answers")
    }
}

async fn stopped(context: Context) {
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
    assert_eq!(context.failure(), None);
}

/// Readiness, and so the log, names the code.
async fn foreign(context: &Context) -> String {
    let told = async || context.health.problems().remove("partition");
    eventually("another log is told of", DEADLINE, async || told().await.filter(|told| told.contains("foreign_log")))
        .await
}

/// The same once it has been compared with what has come meanwhile.
async fn foreign_by_its_batch(context: &Context) {
    let told = async || context.health.problems().remove("partition");
    let by_batch = |told: &String| told.contains("RAW has at 3 what came in at ");
    eventually("its batch is told of", DEADLINE, async || told().await.filter(by_batch)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_made_anew_under_the_service_is_not_taken_for_done() {
    let mut shop = Shop::open().await;
    let context = shop.start(&shop.sqlite("enrichment")).await;
    for raw_seq in 1..=3 {
        assert_eq!(shop.publish().await, raw_seq);
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    shop.lose(&[StreamName::Raw]).await;
    let told = foreign(&context).await;
    assert!(told.contains("RAW ends at 0, before 3 that was done"), "{told}");
    // What comes meanwhile is taken neither for done nor for what follows.
    for raw_seq in 1..=5 {
        assert_eq!(shop.publish().await, raw_seq);
    }
    foreign_by_its_batch(&context).await;
    assert_eq!(shop.enriched_batches().await, 3);
    stopped(context).await;

    // With a store and an output of its own, the new log is enriched from its first batch on.
    shop.lose(&[StreamName::Enriched]).await;
    let context = shop.start(&shop.sqlite("another")).await;
    shop.enriched(5, 4).await;
    assert_eq!(shop.enriched_batches().await, 5);
    stopped(context).await;
}

async fn a_partition_that_had_nothing(shop: &mut Shop, store: &str) {
    let context = shop.start(store).await;
    for raw_seq in 1..=3 {
        assert_eq!(shop.publish().await, raw_seq);
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    stopped(context).await;
    shop.lose(&[StreamName::Raw, StreamName::Enriched]).await;
    for raw_seq in 1..=5 {
        assert_eq!(shop.publish_to(OTHER).await, raw_seq);
    }
    let context = shop.start(store).await;
    let both = |told: &String| told.starts_with("0: foreign_log") && told.ends_with("(and 1 more)");
    let told = async || context.health.problems().remove("partition").filter(both);
    eventually("both stand still", DEADLINE, told).await;
    assert_eq!(shop.enriched_batches().await, 0);
    stopped(context).await;
}

/// It has no place of its own that could be compared. What others have tells that the log is
/// another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_had_nothing_reads_no_other_log() {
    let mut shop = Shop::open().await;
    let store = shop.sqlite("enrichment");
    a_partition_that_had_nothing(&mut shop, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_had_nothing_reads_no_other_log_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("a_partition_that_had_nothing_reads_no_other_log_on_postgresql", "no PostgreSQL is installed");
    };
    let mut shop = Shop::open().await;
    a_partition_that_had_nothing(&mut shop, &postgres.url()).await;
}

/// As after a loss of the server's disk: every stream is made anew, by the service itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_begins_behind_what_is_done_is_gone_on_with() {
    let mut shop = Shop::open().await;
    let context = shop.start(&shop.sqlite("enrichment")).await;
    for raw_seq in 1..=3 {
        shop.publish().await;
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    shop.nats.lose_disk().await;
    let told = foreign(&context).await;
    assert!(told.contains("before 3 that was done"), "{told}");
    let answer = jetstream(&shop.nats.url(), "STREAM.PURGE.RAW", r#"{"seq":1000}"#).await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    // It goes on by itself.
    eventually("ready", DEADLINE, async || context.health.is_ready().then_some(())).await;
    assert_eq!(shop.publish().await, 1000);
    shop.enriched(1000, 3).await;
    stopped(context).await;
}

/// Nobody makes it anew but the service, which has nobody else's help and is sent nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_alone_is_made_anew_and_is_known_for_another() {
    let mut shop = Shop::open().await;
    let context = shop.start(&shop.sqlite("enrichment")).await;
    for raw_seq in 1..=3 {
        shop.publish().await;
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    let answer = jetstream(&shop.nats.url(), "STREAM.DELETE.RAW", "").await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    let told = foreign(&context).await;
    assert!(told.contains("RAW ends at 0, before 3 that was done"), "{told}");
    for raw_seq in 1..=5 {
        assert_eq!(shop.publish().await, raw_seq, "it is there");
    }
    foreign_by_its_batch(&context).await;
    assert_eq!(shop.enriched_batches().await, 3);
    // Somebody decides to keep what was counted, and to give the new log up.
    let answer = jetstream(&shop.nats.url(), "STREAM.PURGE.RAW", r#"{"seq":1000}"#).await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    eventually("ready", DEADLINE, async || context.health.is_ready().then_some(())).await;
    assert_eq!(shop.publish().await, 1000);
    shop.enriched(1000, 3).await;
    // What it writes is made anew as well, and gone on with.
    let answer = jetstream(&shop.nats.url(), "STREAM.DELETE.ENRICHED", "").await;
    assert!(answer.contains("\"success\":true"), "{answer}");
    assert_eq!(shop.publish().await, 1001);
    shop.enriched(1001, 1000).await;
    eventually("ready", DEADLINE, async || context.health.is_ready().then_some(())).await;
    stopped(context).await;
}

async fn a_log_that_has_come_as_far_as_the_old_one(shop: &mut Shop, store: &str) {
    let context = shop.start(store).await;
    for raw_seq in 1..=3 {
        assert_eq!(shop.publish().await, raw_seq);
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    stopped(context).await;
    shop.lose(&[StreamName::Raw, StreamName::Enriched]).await;
    for raw_seq in 1..=5 {
        assert_eq!(shop.publish().await, raw_seq);
    }
    let context = shop.start(store).await;
    let told = foreign(&context).await;
    assert!(told.contains("RAW has at 3 what came in at "), "{told}");
    assert_eq!(shop.enriched_batches().await, 0);
    stopped(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_log_is_known_by_its_last_batch() {
    let mut shop = Shop::open().await;
    let store = shop.sqlite("enrichment");
    a_log_that_has_come_as_far_as_the_old_one(&mut shop, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_log_is_known_by_its_last_batch_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped(
            "a_store_of_another_log_is_known_by_its_last_batch_on_postgresql",
            "no PostgreSQL is installed",
        );
    };
    let mut shop = Shop::open().await;
    a_log_that_has_come_as_far_as_the_old_one(&mut shop, &postgres.url()).await;
}

/// What `ENRICHED` has is not published again: with an empty store, the first batches of a new
/// log would be taken for those of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_another_log_is_not_gone_on_with() {
    let mut shop = Shop::open().await;
    let context = shop.start(&shop.sqlite("enrichment")).await;
    for raw_seq in 1..=3 {
        shop.publish().await;
        shop.enriched(raw_seq, raw_seq - 1).await;
    }
    stopped(context).await;
    shop.lose(&[StreamName::Raw]).await;
    let context = shop.start(&shop.sqlite("empty")).await;
    foreign(&context).await;
    for _ in 1..=4 {
        shop.publish().await;
    }
    foreign_by_its_batch(&context).await;
    assert_eq!(shop.enriched_batches().await, 3);
    stopped(context).await;
}
