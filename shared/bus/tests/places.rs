//! Readers that keep their own place, on a real nats-server.

use std::collections::BTreeMap;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
};
use tidemill_bus::{Acks, Bus, Config};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, Redrive, topology};
use tidemill_testkit::{TestNats, try_eventually};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

const P: Partition = Partition::new(3);
const OTHER: Partition = Partition::new(4);
const DEADLINE: Duration = Duration::from_secs(30);

async fn connect(nats: &TestNats) -> Bus {
    let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams and bucket");
    bus
}

async fn raw(bus: &Bus, n: u128) -> u64 {
    let batch = RawBatch {
        redriven: Vec::new(),
        batch_id: Uuid::from_u128(n),
        partition: P,
        ingested_at: Timestamp::EPOCH,
        sources: BTreeMap::from([("shop".into(), 1)]),
        lines: "{}\n".into(),
        trace: None,
    };
    bus.publish(&batch).await.expect("stored").sequence
}

/// A batch of a log whose every second sequence is of this partition.
async fn enriched(bus: &Bus, partition: Partition, raw_seq: u64, remade: Option<u64>) -> u64 {
    let batch = EnrichedBatch {
        partition,
        raw_seq,
        raw_prev: raw_seq.saturating_sub(2),
        ingested_at: Timestamp::EPOCH,
        refdata: 0,
        remade,
        count: 1,
        types: None,
        lines: "{}\n".into(),
        trace: None,
    };
    bus.publish(&batch).await.expect("stored").sequence
}

fn redrive(letter: u64) -> Redrive {
    Redrive {
        id: Uuid::from_u128(letter.into()),
        letter,
        by: "test".into(),
        at: Timestamp::EPOCH,
        source: "shop".into(),
        event_id: None,
        first_failed_at: Timestamp::EPOCH,
        trace: None,
        several: false,
        body: "{}".into(),
    }
}

#[tokio::test]
async fn a_place_is_found_by_what_messages_say() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let place = async |floor: u64| {
        bus.place_behind(&topology::enriched(P), |batch: &EnrichedBatch| batch.raw_seq <= floor).await.expect("answers")
    };
    assert_eq!(place(7).await, 0, "nothing is there");
    for other in 1..=5 {
        enriched(&bus, OTHER, other * 2, None).await;
    }
    assert_eq!(place(7).await, 0, "nothing of this partition");
    let mut at = BTreeMap::new();
    for raw_seq in [1, 3, 5, 7, 9, 11, 13] {
        at.insert(raw_seq, enriched(&bus, P, raw_seq, None).await);
        enriched(&bus, OTHER, 100 + raw_seq, None).await;
    }
    for (raw_seq, sequence) in &at {
        assert_eq!(place(*raw_seq).await, *sequence);
        assert_eq!(place(*raw_seq + 1).await, *sequence, "what is done need not be a batch of this partition");
    }
    assert_eq!(place(99).await, at[&13]);
    assert_eq!(place(0).await, 0);

    // A stretch comes again, and then the log goes on.
    for raw_seq in [5, 7, 9, 11, 13] {
        enriched(&bus, P, raw_seq, Some(1)).await;
        enriched(&bus, OTHER, 200 + raw_seq, None).await;
    }
    enriched(&bus, P, 15, None).await;
    for floor in [1, 3, 5, 7, 9, 11, 13] {
        let place = place(floor).await;
        let next = bus.next_at::<EnrichedBatch>(&topology::enriched(P), place + 1).await.expect("answers");
        let (_, next) = next.expect("there is more");
        assert_eq!(next.expect("can be read").raw_seq, floor + 2, "what comes next stands behind the place");
    }
    assert!(place(15).await > place(13).await);
}

#[tokio::test]
async fn a_reader_with_its_own_place_goes_on_there_after_the_server_has_forgotten_it() {
    let mut nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let durable = Durable::Enrichment(P);
    for n in 1..=5 {
        raw(&bus, n).await;
    }
    let mut subscription = bus.subscribe_behind(durable, 0).await.expect("opens");
    for sequence in 1..=3 {
        assert_eq!(subscription.next().await.expect("a message").sequence, sequence);
    }
    nats.server.restart().await.expect("comes back");
    // It is told, and opens the consumer anew.
    let lost = async {
        loop {
            match subscription.next().await {
                Ok(delivery) => assert!(delivery.sequence > 3, "what was under way may still come"),
                Err(error) => break error,
            }
        }
    };
    let lost = tokio::time::timeout(DEADLINE, lost).await.expect("it notices");
    assert!(lost.is_transient(), "{lost}");
    let mut again = try_eventually("it opens", DEADLINE, || bus.subscribe_behind(durable, 3)).await;
    for sequence in 4..=5 {
        assert_eq!(again.next().await.expect("a message").sequence, sequence);
    }
    assert_eq!(bus.lag(durable).await.expect("answers"), 2);
}

/// Its consumers were on disk, and each message was acknowledged by itself.
#[tokio::test]
async fn the_consumer_of_an_earlier_release_is_replaced() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let durable = Durable::ReportingRaw;
    let earlier = pull::Config {
        durable_name: Some(durable.name()),
        filter_subject: durable.filter(),
        ack_policy: AckPolicy::Explicit,
        headers_only: true,
        ..pull::Config::default()
    };
    let (address, user) = (format!("127.0.0.1:{}", nats.server.port()), nats.url());
    let (_, password) = user.split_once('@').map_or(("", ""), |(user, _)| user.rsplit_once(':').expect("a password"));
    let options = async_nats::ConnectOptions::with_user_and_password("tidemill".into(), password.into());
    let context = jetstream::new(options.connect(address).await.expect("connects"));
    context.create_consumer_on_stream(earlier, "RAW").await.expect("is made");
    for n in 1..=3 {
        raw(&bus, n).await;
    }
    let mut subscription = bus.subscribe_behind(durable, 2).await.expect("opens");
    assert_eq!(subscription.next().await.expect("a message").sequence, 3);
    assert_eq!(bus.lag(durable).await.expect("answers"), 1);
}

#[tokio::test]
async fn the_server_hears_of_many_messages_at_once() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let durable = Durable::Enrichment(P);
    for n in 1..=300 {
        raw(&bus, n).await;
    }
    let mut heard = nats.overhear("$JS.ACK.>").await;
    let mut subscription = bus.subscribe_behind(durable, 0).await.expect("opens");
    let mut acks = Acks::default();
    assert_eq!(acks.due(), None);
    let begun = Instant::now();
    for _ in 0..300 {
        acks.add(subscription.next().await.expect("a message"));
        acks.tell_in_time().await.expect("is sent");
    }
    let at_most = 1 + 300 / 128 + (begun.elapsed().as_millis() / 500) as usize;
    acks.settle().await.expect("the server knows");
    assert_eq!((acks.due(), bus.lag(durable).await.expect("answers")), (None, 0));
    let heard = heard.count().await;
    assert!((1..=at_most + 1).contains(&heard), "{heard} acknowledgements, {at_most} at most and the last one");
}

/// Where the server keeps the place, one that is not acknowledged is not lost
/// behind one that is.
#[tokio::test]
async fn where_the_server_keeps_the_place_each_message_is_for_itself() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    for n in 1..=3 {
        bus.publish(&redrive(n)).await.expect("stored");
    }
    let mut subscription = bus.subscribe(Durable::IngestionRedrive).await.expect("opens");
    let mut acks = Acks::default();
    for sequence in 1..=3 {
        let delivery = subscription.next().await.expect("a message");
        assert_eq!(delivery.sequence, sequence);
        if sequence > 1 {
            acks.add(delivery);
        }
    }
    acks.tell_in_time().await.expect("the server knows");
    assert_eq!(bus.lag(Durable::IngestionRedrive).await.expect("answers"), 1);
    drop(subscription);
    let mut again = bus.subscribe(Durable::IngestionRedrive).await.expect("opens");
    assert_eq!(again.next().await.expect("a message").sequence, 1);
}

#[tokio::test]
async fn replicas_that_follow_each_get_everything_behind_their_place() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let mut places = Vec::new();
    for raw_seq in [2, 4, 6] {
        places.push(enriched(&bus, P, raw_seq, None).await);
    }
    enriched(&bus, OTHER, 7, None).await;
    let durable = Durable::Recommendation(P);
    // Names of hosts have dots in them.
    let (mut one, mut two) = (
        bus.follow_behind(durable, "host.one", 0).await.expect("follows"),
        bus.follow_behind(durable, "host.two", places[0]).await.expect("follows"),
    );
    let mut owner = bus.subscribe_behind(durable, places[1]).await.expect("opens");
    for (reader, begin) in [(&mut one, 0), (&mut two, 1), (&mut owner, 2)] {
        for place in &places[begin..] {
            let next = tokio::time::timeout(DEADLINE, reader.next()).await.expect("in time").expect("delivered");
            assert_eq!(next.sequence, *place);
        }
    }
    drop(one);
    let again = bus.follow_behind(durable, "host.one", places[1]).await;
    let next = tokio::time::timeout(DEADLINE, again.expect("follows").next()).await.expect("in time");
    assert_eq!(next.expect("delivered").sequence, places[2], "it goes on where it is told to");
}
