//! The bus on a real nats-server.

use std::{collections::BTreeMap, time::Duration};

use tidemill_bus::{Bus, Config, Error, Member, ack_all};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, topology};
use tidemill_testkit::{TestNats, eventually, try_eventually};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);

async fn connect(nats: &TestNats) -> Bus {
    let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams and bucket");
    bus
}

fn batch(n: u128, partition: u16) -> RawBatch {
    RawBatch {
        batch_id: Uuid::from_u128(n),
        partition: Partition::new(partition),
        ingested_at: Timestamp::EPOCH,
        sources: BTreeMap::from([("shop".into(), 1)]),
        lines: format!("{{\"n\":{n}}}\n").into(),
        trace: None,
    }
}

#[tokio::test]
async fn a_message_published_twice_is_stored_once() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    bus.ensure_topology().await.expect("making it again is harmless");
    let first = bus.publish(&batch(1, 0)).await.expect("stored");
    let again = bus.publish(&batch(1, 0)).await.expect("known");
    assert_eq!((first.duplicate, again.duplicate, again.sequence), (false, true, first.sequence));
    let stored = bus.message_at::<RawBatch>(first.sequence).await.expect("reads").expect("is there");
    assert_eq!(stored.message, batch(1, 0));
    assert!(bus.message_at::<RawBatch>(99).await.expect("reads").is_none());
    assert!(bus.last::<EnrichedBatch>(&topology::enriched(Partition::new(0))).await.expect("reads").is_none());
}

#[tokio::test]
async fn whoever_opens_a_consumer_gets_what_the_last_one_held_in_order() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    for n in 1..=6 {
        bus.publish(&batch(n, 3)).await.expect("stored");
        bus.publish(&batch(100 + n, 4)).await.expect("stored");
    }
    let durable = Durable::Enrichment(Partition::new(3));
    let mut first = bus.subscribe(durable).await.expect("opens");
    let mut held = Vec::new();
    while held.len() < 4 {
        held.push(first.next().await.expect("a message"));
    }
    ack_all(&held[..2]).await.expect("acknowledges");
    drop((first, held));
    assert_eq!(bus.lag(durable).await.expect("answers"), 4);
    let mut second = bus.subscribe(durable).await.expect("opens");
    let mut ids = Vec::new();
    while ids.len() < 4 {
        let chunk = second.next_chunk(10).await.expect("messages");
        ids.extend(chunk.iter().map(|d| d.decode::<RawBatch>().expect("a batch").batch_id.as_u128()));
        ack_all(&chunk).await.expect("acknowledges");
    }
    assert_eq!(ids, [3, 4, 5, 6], "of this partition alone, from the first that was not acknowledged");
    assert_eq!(bus.lag(durable).await.expect("answers"), 0);
}

#[tokio::test]
async fn the_books_reader_gets_headers_alone() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    bus.publish(&batch(7, 1)).await.expect("stored");
    let mut reader = bus.subscribe(Durable::ReportingRaw).await.expect("opens");
    let delivery = reader.next().await.expect("a message");
    assert!(delivery.payload().is_empty());
    assert_eq!(delivery.decode::<RawBatch>().expect("a batch").sources, batch(7, 1).sources);
}

#[tokio::test]
async fn a_full_log_refuses_and_forgets_nothing() {
    let nats = TestNats::start().await;
    let config = Config { url: nats.url(), log_bytes: 20_000, ..Config::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    let mut stored = 0;
    let error = loop {
        match bus.publish(&batch(stored + 1, 0)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "20 kB are full long before");
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.is_transient());
    assert!(bus.message_at::<RawBatch>(1).await.expect("reads").is_some(), "the first is still there");
}

#[tokio::test]
async fn messages_and_members_outlive_the_server() {
    let mut nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let member = Member {
        service: "ingestion".into(),
        instance: "host.example-1".into(),
        version: "1".into(),
        started_at: Timestamp::EPOCH,
        ready: true,
        reason: None,
    };
    bus.announce(&member).await.expect("announces");
    let first = bus.publish(&batch(1, 0)).await.expect("stored");
    nats.server.kill().await;
    let next = batch(2, 0);
    let error = bus.publish(&next).await.expect_err("nobody is there");
    assert!(error.is_transient(), "{error}");
    nats.server.restart().await.expect("comes back");
    let second = try_eventually("the client is back", DEADLINE, || bus.publish(&next)).await;
    assert!(second.sequence > first.sequence);
    try_eventually("the member announces itself", DEADLINE, || bus.announce(&member)).await;
    assert_eq!(bus.members().await.expect("answers"), std::slice::from_ref(&member));
    bus.withdraw(&member).await.expect("withdraws");
    eventually("it is gone", DEADLINE, || async { bus.members().await.ok()?.is_empty().then_some(()) }).await;
}
