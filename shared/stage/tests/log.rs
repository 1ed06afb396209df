//! Whether a log is another one than that which was read.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidemill_bus::{Bus, Config, Error};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, StreamName};
use tidemill_stage::{Ingested, LogPlace, LogStanding, OfLog, Source, subscribe_in_order};
use tidemill_testkit::{TestNats, jetstream};
use tokio::time::timeout;
use uuid::Uuid;

const P: Partition = Partition::new(0);
const DEADLINE: Duration = Duration::from_secs(20);
/// Batches so far: none is a copy of another.
static PUBLISHED: AtomicU64 = AtomicU64::new(0);

fn at(second: i64) -> Timestamp {
    Timestamp::saturating_from_millis(second * 1000)
}

async fn log() -> (TestNats, Bus) {
    let nats = TestNats::start().await;
    let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams");
    (nats, bus)
}

/// A batch that came in at this second.
async fn publish(bus: &Bus, second: i64) -> u64 {
    let batch = RawBatch {
        redriven: Vec::new(),
        batch_id: Uuid::from_u128(PUBLISHED.fetch_add(1, Ordering::Relaxed).into()),
        partition: P,
        ingested_at: at(second),
        sources: BTreeMap::new(),
        lines: "{}\n".into(),
        trace: None,
    };
    bus.publish(&batch).await.expect("stored").sequence
}

fn enriched(raw_seq: u64, raw_prev: u64) -> EnrichedBatch {
    EnrichedBatch {
        partition: P,
        raw_seq,
        raw_prev,
        remade: None,
        ingested_at: at(1),
        refdata: 1,
        count: 1,
        types: None,
        lines: "{}\n".into(),
        trace: None,
    }
}

/// The same streams, with nothing in them.
async fn made_anew(nats: &TestNats, bus: &Bus, streams: &[StreamName]) {
    for stream in streams {
        let answer = jetstream(&nats.url(), &format!("STREAM.DELETE.{stream}"), "").await;
        assert!(answer.contains("\"success\":true"), "{answer}");
    }
    bus.ensure_topology().await.expect("streams");
}

fn is_foreign(compared: Result<LogStanding, Error>) -> bool {
    match compared {
        Err(error @ Error::ForeignLog { .. }) => {
            assert_eq!(error.code().as_str(), "foreign_log");
            assert!(error.to_string().starts_with("foreign_log: RAW "), "{error}");
            true
        }
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_log_that_forgets_is_the_same_and_one_that_begins_anew_is_not() {
    let (nats, bus) = log().await;
    assert_eq!(LogPlace::at(3).compare(&bus).await.expect("answers"), LogStanding::Empty);
    for second in 1..=3 {
        publish(&bus, second).await;
    }
    let ingested = [Ingested::Unknown, Ingested::At(at(3)), Ingested::By(at(3)), Ingested::By(at(5))];
    let places = ingested.map(|ingested| LogPlace { raw_seq: 3, ingested });
    for place in places.into_iter().chain([LogPlace::default(), LogPlace::at(2)]) {
        assert_eq!(place.compare(&bus).await.expect("answers"), LogStanding::Same, "{place:?}");
    }
    assert!(is_foreign(LogPlace::at(4).compare(&bus).await), "it never came so far");
    for ingested in [Ingested::At(at(4)), Ingested::At(at(2)), Ingested::By(at(2))] {
        let place = LogPlace { raw_seq: 3, ingested };
        assert!(is_foreign(place.compare(&bus).await), "{place:?} is another batch");
    }

    // Emptied by hand, or by age: the sequence of the last one stays.
    jetstream(&nats.url(), "STREAM.PURGE.RAW", "").await;
    for place in places {
        assert_eq!(place.compare(&bus).await.expect("answers"), LogStanding::Same, "{place:?}");
    }
    assert!(bus.has_reached(StreamName::Raw, 3).await.is_ok());

    made_anew(&nats, &bus, &[StreamName::Raw]).await;
    assert_eq!(places[0].compare(&bus).await.expect("answers"), LogStanding::Empty);
    assert!(places[0].belongs_to(&bus).await.is_err(), "who does not look again must not begin");
    assert!(bus.has_reached(StreamName::Raw, 3).await.is_err());
    publish(&bus, 10).await;
    assert!(is_foreign(places[0].compare(&bus).await));
    // It has come as far as the old one was.
    for second in 11..=14 {
        publish(&bus, second).await;
    }
    assert!(!is_foreign(places[0].compare(&bus).await), "by its end alone nobody can tell");
    assert!(is_foreign(places[1].compare(&bus).await) && is_foreign(places[2].compare(&bus).await));
}

#[tokio::test]
async fn a_reader_hands_out_nothing_of_another_log() {
    let (nats, bus) = log().await;
    for raw_seq in 1..=3 {
        publish(&bus, 1).await;
        bus.publish(&enriched(raw_seq, raw_seq - 1)).await.expect("stored");
    }
    let durable = Durable::Aggregation(P);
    let open = async |raw_seq| subscribe_in_order(&bus, durable, P, LogPlace::at(raw_seq)).await;
    let mut reader = open(2).await.expect("opens");
    let chunk = timeout(DEADLINE, reader.next_chunk(9)).await.expect("in time").expect("comes");
    assert_eq!(chunk.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(), [3]);

    made_anew(&nats, &bus, &[StreamName::Raw, StreamName::Enriched]).await;
    let lost = timeout(DEADLINE, reader.next_chunk(9)).await.expect("in time");
    assert!(lost.is_err(), "its consumer is gone with the stream");
    // Nothing is there yet, and nothing can be taken for done.
    let mut reader = open(3).await.expect("opens");
    publish(&bus, 20).await;
    bus.publish(&enriched(1, 0)).await.expect("stored");
    bus.publish(&enriched(4, 3)).await.expect("stored");
    let foreign = timeout(DEADLINE, reader.next_chunk(9)).await.expect("in time");
    assert!(matches!(foreign, Err(Error::ForeignLog { .. })), "{foreign:?}");
    assert!(matches!(open(3).await.map(drop), Err(Error::ForeignLog { .. })));
}

/// `ENRICHED` stays, and so does its consumer: the log is looked at all the same.
#[tokio::test]
async fn a_reader_notices_a_log_that_is_made_anew_beside_it() {
    let (nats, bus) = log().await;
    for _ in 1..=3 {
        publish(&bus, 1).await;
    }
    let source = bus.subscribe(Durable::AlertMetrics);
    let mut reader = OfLog::open(&bus, LogPlace::at(3), source).await.expect("opens");
    made_anew(&nats, &bus, &[StreamName::Raw]).await;
    publish(&bus, 20).await;
    let foreign = timeout(DEADLINE, reader.next_chunk(9)).await.expect("in time");
    assert!(matches!(foreign, Err(Error::ForeignLog { .. })), "{foreign:?}");
}
