//! The service as a process: it works on a real NATS, and SIGTERM drains it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{
    DeadLetter, DecodeError, Durable, Encoded, EnrichedBatch, HeaderSource, LateBatch, Message, MetricsUpdate,
    StreamName,
};
use tidemill_testkit::{Postgres, TempDir, TestNats, eventually, skipped, tempdir};
use tidemill_totals::Value;

const DEADLINE: Duration = Duration::from_secs(60);

const P: Partition = Partition::new(2);

fn batch(raw_seq: u64, raw_prev: u64, price: &str) -> EnrichedBatch {
    batch_at("2026-01-02T03:04:05Z", raw_seq, raw_prev, price)
}

fn batch_at(time: &str, raw_seq: u64, raw_prev: u64, price: &str) -> EnrichedBatch {
    let gross = Amount::product(["2", price]).expect("a price").amount;
    let line = format!(
        r#"{{"specversion":"1.0","id":"{raw_seq}","source":"shop","type":"order.placed","time":"{time}","subject":"c","data":{{"order_id":"o{raw_seq}"}},"enriched":{{"refdata":1,"region":"Europe","items":[{{"category":"Books"}}],"order":{{"id":"o{raw_seq}"}},"lines":[{{"quantity":"2.00","gross":"{gross}"}}]}}}}"#
    );
    EnrichedBatch {
        partition: P,
        raw_seq,
        raw_prev,
        remade: None,
        ingested_at: Timestamp::saturating_from_millis(1_767_323_045_000),
        refdata: 1,
        count: 1,
        types: None,
        lines: (line + "\n").into(),
        trace: None,
    }
}

/// The service. It is killed when it is dropped, also by a test that fails.
struct Replica(Child);

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn store_in(folder: &TempDir) -> String {
    format!("sqlite://{}/store.db", folder.path().display())
}

fn service(nats: &TestNats, folder: &TempDir) -> Replica {
    service_over(nats, &store_in(folder))
}

fn service_over(nats: &TestNats, store: &str) -> Replica {
    let process = Command::new(env!("CARGO_BIN_EXE_tidemill-aggregation"))
        .env("TIDEMILL_HTTP__LISTEN", "127.0.0.1:0")
        .env("TIDEMILL_NATS__URL", nats.url())
        .env("TIDEMILL_AUTH__OPEN", "true")
        .env("TIDEMILL_STORE__URL", store)
        .env("TIDEMILL_METRICS_STORE__KIND", "builtin")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Replica(process.expect("the service starts"))
}

async fn terminated(mut service: Replica) -> i32 {
    let asked = Command::new("kill").args(["-TERM", &service.0.id().to_string()]).status().expect("kill runs");
    assert!(asked.success());
    let status =
        eventually("the service drains", DEADLINE, || std::future::ready(service.0.try_wait().ok().flatten())).await;
    status.code().unwrap_or(-1)
}

/// The totals of the first update with this revenue.
async fn revenue(bus: &Bus, expected: &str) -> BTreeMap<String, Value> {
    nth_revenue(bus, expected, 1).await
}

/// The totals of the nth update with this revenue, counted from the stream's
/// start.
async fn nth_revenue(bus: &Bus, expected: &str, nth: usize) -> BTreeMap<String, Value> {
    let metrics = Metrics::load(None).expect("the defaults load");
    let sales = metrics.get("sales_metrics").expect("one of them");
    let mut subscription = bus.subscribe(Durable::ReportingMetrics).await.expect("subscribes");
    let mut seen = 0;
    loop {
        let delivery = tokio::time::timeout(DEADLINE, subscription.next()).await.expect("in time").expect("a message");
        let update: MetricsUpdate = delivery.decode().expect("an update");
        for cell in update.cells.iter().filter(|cell| cell.metric() == "sales_metrics") {
            let names = sales.measures.keys().cloned();
            let values: BTreeMap<_, _> = names.zip(cell.totals.0.iter().map(|m| m.value())).collect();
            if values["revenue"] == Value::Amount(expected.parse().expect("an amount")) {
                assert_eq!(cell.group.dimension("category"), Some("Books"));
                seen += 1;
                if seen == nth {
                    return values;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_go_on_over_a_restart_and_repetitions_change_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus =
        Bus::connect(&tidemill_bus::Config { url: nats.url(), ..Default::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    let first = service(&nats, &folder);
    bus.publish(&batch(3, 0, "1.005")).await.expect("publishes");
    revenue(&bus, "2.01").await;
    assert_eq!(terminated(first).await, 0, "an orderly end");

    // While nobody listens: a batch, and the first one again.
    bus.publish(&batch(8, 3, "10")).await.expect("publishes");
    let mut again = batch(3, 0, "1.005");
    again.lines = format!("{}\n", String::from_utf8_lossy(&again.lines)).into();
    bus.publish(&again).await.expect("publishes");
    let second = service(&nats, &folder);
    let values = revenue(&bus, "22.01").await;
    assert_eq!((&values["orders"], &values["customers"]), (&Value::Count(2), &Value::Count(1)));
    eventually("everything is acknowledged", DEADLINE, || async {
        (bus.lag(Durable::Aggregation(P)).await.ok() == Some(0)).then_some(())
    })
    .await;
    assert_eq!(terminated(second).await, 0, "an orderly end");

    // The stream's end says less than the checkpoint, as after a power cut.
    let old = MetricsUpdate {
        partition: P,
        raw_seq: 3,
        raw_prev: 0,
        part: 0,
        as_of: Timestamp::EPOCH,
        watermark: Some(Timestamp::EPOCH),
        idle: false,
        cells: Vec::new(),
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    };
    bus.publish(&old).await.expect("publishes");
    let third = service(&nats, &folder);
    assert_eq!(nth_revenue(&bus, "22.01", 2).await, values, "what is missing is published again");
    assert_eq!(terminated(third).await, 0, "an orderly end");
}

async fn connected(nats: &TestNats) -> Bus {
    let config = tidemill_bus::Config { url: nats.url(), ..Default::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    bus
}

async fn all_acknowledged(bus: &Bus) {
    eventually("everything is acknowledged", DEADLINE, || async {
        (bus.lag(Durable::Aggregation(P)).await.ok() == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_asked_for_and_nothing_is_counted_before_it() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    let running = service(&nats, &folder);
    bus.publish(&batch(3, 0, "1")).await.expect("publishes");
    revenue(&bus, "2").await;
    // The batch with the sequence 5 is lost.
    bus.publish(&batch(7, 5, "100")).await.expect("publishes");
    let asked =
        eventually("the missing batch is asked for", DEADLINE, || async { bus.asked_again(P).await.expect("answers") })
            .await;
    assert_eq!(asked.after, 3);
    all_acknowledged(&bus).await;

    bus.answered_again(P, asked).await.expect("withdraws");
    for again in [batch(5, 3, "10"), batch(7, 5, "100")] {
        bus.publish(&EnrichedBatch { remade: Some(1), ..again }).await.expect("publishes");
    }
    revenue(&bus, "222").await;
    assert_eq!(terminated(running).await, 0, "an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_are_kept_aside() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    let running = service(&nats, &folder);
    bus.publish(&batch(3, 0, "1")).await.expect("publishes");
    let late = batch_at("2025-12-20T00:00:00Z", 4, 3, "50");
    bus.publish(&late).await.expect("publishes");
    bus.publish(&batch(5, 4, "10")).await.expect("publishes");
    revenue(&bus, "22").await;
    let kept = bus.message_at::<LateBatch>(1).await.expect("answers").expect("is kept aside").message;
    let expected =
        LateBatch { partition: P, raw_seq: 4, ingested_at: late.ingested_at, count: 1, lines: late.lines.clone() };
    assert_eq!(kept, expected);
    assert_eq!(terminated(running).await, 0, "an orderly end");
}

/// As with a value that PostgreSQL cannot hold: the partition goes on without
/// the event, and so do all others.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_store_refuses_is_a_dead_letter_and_halts_nothing() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    let running = service(&nats, &folder);
    bus.publish(&batch(3, 0, "1")).await.expect("publishes");
    revenue(&bus, "2").await;
    tidemill_store::testing::refuse(&store_in(&folder), "clocks", "source", "poison")
        .await
        .expect("refuses from now on");
    let mut poisoned = batch(4, 3, "10");
    let good = String::from_utf8(poisoned.lines.to_vec()).expect("text");
    let bad = good.replace("\"shop\"", "\"poison\"").replace("\"id\":\"4\"", "\"id\":\"p\"");
    poisoned.lines = format!("{bad}{good}{bad}").into();
    bus.publish(&poisoned).await.expect("publishes");
    bus.publish(&batch(5, 4, "100")).await.expect("publishes");
    let values = revenue(&bus, "222").await;
    assert_eq!(values["orders"], Value::Count(3));
    all_acknowledged(&bus).await;
    for (sequence, place) in [(1, 0), (2, 2)] {
        let letter = bus.message_at::<DeadLetter>(sequence).await.expect("answers").expect("a dead letter").message;
        assert_eq!((letter.code.as_str(), letter.source.as_str()), ("store_refused", "poison"));
        assert_eq!(letter.id, format!("aggregation-4-refused-{place}"));
        assert_eq!(letter.body, bad.trim_end());
    }
    assert!(bus.message_at::<DeadLetter>(3).await.expect("answers").is_none());
    // Redriven, it is counted once, although enrichment knows it.
    let again = bad.replacen('{', r#"{"backfill":"redrive-1","#, 1);
    let again = again.replace(r#""enriched":{"#, r#""enriched":{"duplicate":true,"#);
    let mut redriven = batch(6, 5, "10");
    redriven.lines = format!("{again}{again}").into();
    bus.publish(&redriven).await.expect("publishes");
    revenue(&bus, "242").await;
    eventually("it is ready again", DEADLINE, || async {
        bus.members().await.expect("answers").iter().all(|member| member.ready).then_some(())
    })
    .await;
    assert_eq!(terminated(running).await, 0, "an orderly end");
}

/// What another release wrote last, which this one cannot read.
struct OfAnotherRelease;

impl Message for OfAnotherRelease {
    const STREAM: StreamName = MetricsUpdate::STREAM;
    const VERSION: u32 = MetricsUpdate::VERSION;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let update = MetricsUpdate {
            partition: P,
            raw_seq: 3,
            raw_prev: 0,
            part: 0,
            as_of: Timestamp::EPOCH,
            watermark: None,
            idle: false,
            cells: Vec::new(),
            books: Vec::new(),
            redriven: Vec::new(),
            counting: Vec::new(),
            trace: None,
        };
        Ok(Encoded { headers: vec![("Tm-Version", "99".into())], ..update.encode()? })
    }

    fn decode(_: &impl HeaderSource, _: bytes::Bytes) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_read_halts_its_partition_alone() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    bus.publish(&OfAnotherRelease).await.expect("publishes");
    let running = service(&nats, &folder);
    let mut other = batch(4, 0, "10");
    other.partition = Partition::new(5);
    bus.publish(&other).await.expect("publishes");
    eventually("the other partition is acknowledged", DEADLINE, || async {
        let lag = bus.lag(Durable::Aggregation(Partition::new(5))).await.ok();
        (lag == Some(0)).then_some(())
    })
    .await;
    eventually("readiness says why", DEADLINE, || async {
        let members = bus.members().await.expect("answers");
        members.iter().find(|member| member.reason.as_ref().is_some_and(|r| r.contains("cannot be read"))).map(|_| ())
    })
    .await;
    assert_eq!(terminated(running).await, 0, "an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_where_one_was_killed() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    // At once, on a file that is not there: both make its schema.
    let mut replicas = vec![service(&nats, &folder), service(&nats, &folder)];
    bus.publish(&batch(3, 0, "1")).await.expect("publishes");
    revenue(&bus, "2").await;
    eventually("both are ready", DEADLINE, || async {
        let members = bus.members().await.expect("answers");
        (members.iter().filter(|member| member.ready).count() == 2).then_some(())
    })
    .await;
    drop(replicas.remove(0));
    bus.publish(&batch(5, 3, "10")).await.expect("publishes");
    revenue(&bus, "22").await;
    // And back: a third takes its share, the second is told to go.
    replicas.push(service(&nats, &folder));
    assert_eq!(terminated(replicas.remove(0)).await, 0, "an orderly end");
    bus.publish(&batch(9, 5, "100")).await.expect("publishes");
    let values = revenue(&bus, "222").await;
    assert_eq!(values["orders"], Value::Count(3));
    all_acknowledged(&bus).await;
    assert_eq!(terminated(replicas.remove(0)).await, 0, "an orderly end");
}

/// The revenue that readers were ever told of, by the position of the log that it reaches.
async fn told_revenues(bus: &Bus) -> BTreeMap<u64, BTreeSet<String>> {
    let metrics = Metrics::load(None).expect("the defaults load");
    let place = metrics.get("sales_metrics").expect("one of them").measures.keys().position(|name| name == "revenue");
    let mut told: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for sequence in 1..=bus.end(StreamName::Metrics).await.expect("answers") {
        let update = bus.message_at::<MetricsUpdate>(sequence).await.expect("answers").expect("is there").message;
        for cell in update.cells.iter().filter(|cell| cell.metric() == "sales_metrics") {
            let revenue = cell.totals.0[place.expect("a measure")].value();
            told.entry(update.raw_seq).or_default().insert(format!("{revenue:?}"));
        }
    }
    told
}

/// Readers do not wait for the store. What they were told and no store has is told again
/// from the log, as it was.
async fn what_was_told_and_is_not_stored_is_told_again(store: &str) {
    let nats = TestNats::start().await;
    let bus = connected(&nats).await;
    let first = service_over(&nats, store);
    bus.publish(&batch(3, 0, "1")).await.expect("publishes");
    revenue(&bus, "2").await;
    all_acknowledged(&bus).await;
    let busy = tidemill_store::testing::keep_busy(store, "partitions").await.expect("is busy from now on");
    for (raw_seq, raw_prev, price, total) in [(5, 3, "10", "22"), (7, 5, "100", "222"), (9, 7, "1000", "2222")] {
        bus.publish(&batch(raw_seq, raw_prev, price)).await.expect("publishes");
        revenue(&bus, total).await;
    }
    assert_eq!(bus.lag(Durable::Aggregation(P)).await.expect("answers"), 3, "nothing of it counts as done");
    drop(first);
    busy.release().await.expect("is released");

    let second = service_over(&nats, store);
    bus.publish(&batch(11, 9, "10000")).await.expect("publishes");
    assert_eq!(revenue(&bus, "22222").await["orders"], Value::Count(5));
    all_acknowledged(&bus).await;
    assert_eq!(terminated(second).await, 0, "an orderly end");
    let told = told_revenues(&bus).await;
    assert!([3, 5, 7, 9, 11].iter().all(|position| told.contains_key(position)), "{told:?}");
    assert!(told.values().all(|revenues| revenues.len() == 1), "of a position one thing is told: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_and_is_not_stored_is_told_again_on_sqlite() {
    what_was_told_and_is_not_stored_is_told_again(&store_in(&tempdir())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_and_is_not_stored_is_told_again_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("what_was_told_and_is_not_stored_is_told_again_on_postgres", "no PostgreSQL is installed");
    };
    what_was_told_and_is_not_stored_is_told_again(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_events_that_cannot_be_read_halts_the_partition_alone() {
    let (nats, folder) = (TestNats::start().await, tempdir());
    let bus = connected(&nats).await;
    let running = service(&nats, &folder);
    let mut flood = batch(3, 0, "1");
    flood.lines = "{}\n".repeat(300).into();
    bus.publish(&flood).await.expect("publishes");
    eventually("readiness says why", DEADLINE, || async {
        let members = bus.members().await.expect("answers");
        members.iter().find(|member| member.reason.as_ref().is_some_and(|reason| reason.contains("halted"))).map(|_| ())
    })
    .await;
    assert!(bus.message_at::<DeadLetter>(1).await.expect("answers").is_none(), "nothing was given up");
    assert_eq!(bus.lag(Durable::Aggregation(P)).await.expect("answers"), 1, "it waits in the log");
    let mut other = batch(4, 0, "10");
    other.partition = Partition::new(5);
    bus.publish(&other).await.expect("publishes");
    revenue(&bus, "20").await;
    assert_eq!(terminated(running).await, 0, "an orderly end");
}
