//! The bus on a real nats-server.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, time::Duration};

use futures::StreamExt;
use tidemill_bus::{Bus, Change, Config, Error, Member, TopologyPart};
use tidemill_domain::{Outage, Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, StreamName, topology};
use tidemill_testkit::{TestNats, eventually, jetstream, try_eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);

async fn connect(nats: &TestNats) -> Bus {
    let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "test").await.expect("connects");
    bus.ensure_topology().await.expect("streams and bucket");
    bus
}

fn batch(n: u128, partition: u16) -> RawBatch {
    RawBatch {
        redriven: Vec::new(),
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

async fn deleted(nats: &TestNats, stream: &str) {
    let answer = jetstream(&nats.url(), &format!("STREAM.DELETE.{stream}"), "").await;
    assert!(answer.contains("\"success\":true"), "{answer}");
}

#[tokio::test]
async fn what_is_gone_is_told_by_name_and_made_anew() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    assert_eq!(bus.missing().await.expect("answers"), []);
    bus.publish(&batch(1, 0)).await.expect("stored");
    for stream in ["RAW", "PROFILES", "KV_tm_leases"] {
        deleted(&nats, stream).await;
    }
    let missing = bus.missing().await.expect("answers");
    assert_eq!(
        missing,
        [TopologyPart::Stream(StreamName::Raw), TopologyPart::Stream(StreamName::Profiles), TopologyPart::Leases]
    );
    // Two replicas see it at once.
    let other = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "other").await.expect("connects");
    let (made, again) = tokio::join!(bus.make(&missing), other.make(&missing));
    made.and(again).expect("are made");
    assert_eq!(bus.missing().await.expect("answers"), []);
    assert_eq!(bus.publish(&batch(2, 0)).await.expect("stored").sequence, 1, "it is another log");
}

/// Nobody has to wait for the next look.
#[tokio::test]
async fn a_message_goes_into_its_own_stream_or_nowhere() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    deleted(&nats, "RAW").await;
    let thief = format!("{{\"name\":\"OLD\",\"subjects\":[\"{}\"],\"storage\":\"file\"}}", StreamName::Raw.subjects());
    let answer = jetstream(&nats.url(), "STREAM.CREATE.OLD", &thief).await;
    assert!(!answer.contains("\"error\""), "{answer}");
    let refused = bus.publish(&batch(1, 0)).await.expect_err("it is another stream");
    assert!(refused.is_transient(), "{refused}");
    deleted(&nats, "OLD").await;
    bus.ensure_topology().await.expect("it is made anew");
    bus.publish(&batch(1, 0)).await.expect("stored");
}

#[tokio::test]
async fn who_finds_a_stream_gone_says_so_at_once() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let told = async |what: &str| timeout(DEADLINE, bus.found_missing()).await.unwrap_or_else(|_| panic!("{what}"));
    assert!(timeout(Duration::from_millis(100), bus.found_missing()).await.is_err(), "all is there");
    deleted(&nats, "RAW").await;
    bus.publish(&batch(1, 0)).await.expect_err("there is no log");
    told("publishing").await;
    bus.end(StreamName::Raw).await.expect_err("there is no log");
    told("looking for its end").await;
    bus.message_at::<RawBatch>(1).await.expect_err("there is no log");
    told("reading a message").await;
    assert!(bus.subscribe(Durable::Enrichment(Partition::new(0))).await.is_err(), "there is no log");
    told("opening a reader").await;
}

async fn with_partitions(nats: &TestNats, partitions: u16) -> Result<Bus, Error> {
    let bus = Bus::connect(&Config { url: nats.url(), partitions, ..Config::default() }, "test").await?;
    bus.ensure_topology().await.map(|()| bus)
}

#[track_caller]
fn differ(refused: Result<Bus, Error>, configured: &str, log: &str) {
    let Err(error) = refused else { panic!("{configured} partitions are taken for {log}") };
    assert_eq!((error.code().as_str(), error.is_transient()), ("partitions_differ", false), "{error}");
    let told = error.to_string();
    assert!(told.starts_with("partitions_differ: ") && told.contains(configured) && told.contains(log), "{told}");
}

#[tokio::test]
async fn a_log_is_gone_on_with_by_the_number_of_partitions_that_it_was_made_for() {
    let nats = TestNats::start().await;
    let first = with_partitions(&nats, 8).await.expect("makes the log");
    for wrong in [4, 16] {
        differ(with_partitions(&nats, wrong).await, &format!("nats.partitions is {wrong}"), "made for 8 ");
    }
    with_partitions(&nats, 8).await.expect("is the same");
    first.same_partitions().await.expect("is the same");
    // Made anew, it has the number of who makes it; who runs with another one hears of it.
    deleted(&nats, "RAW").await;
    with_partitions(&nats, 4).await.expect("makes another log");
    let told = first.same_partitions().await.map(|()| first);
    differ(told, "nats.partitions is 8", "made for 4 ");
}

#[tokio::test]
async fn of_two_numbers_of_partitions_at_once_one_is_refused() {
    for _ in 0..10 {
        let nats = TestNats::start().await;
        let (four, eight) = tokio::join!(with_partitions(&nats, 4), with_partitions(&nats, 8));
        match (four, eight) {
            (Ok(_), refused) => differ(refused, "nats.partitions is 8", "made for 4 "),
            (refused, Ok(_)) => differ(refused, "nats.partitions is 4", "made for 8 "),
            (Err(four), Err(eight)) => panic!("both are refused: {four}; {eight}"),
        }
    }
}

/// Of an earlier release: what it has in it tells how many there are at least.
#[tokio::test]
async fn a_log_that_does_not_name_its_partitions_is_given_the_number() {
    let nats = TestNats::start().await;
    let bus = with_partitions(&nats, 8).await.expect("makes the log");
    bus.publish(&batch(1, 5)).await.expect("stored");
    let earlier = async || {
        let config = r#"{"name":"RAW","subjects":["tm.raw.*"],"storage":"file","discard":"new","allow_direct":true}"#;
        let answer = jetstream(&nats.url(), "STREAM.UPDATE.RAW", config).await;
        assert!(!answer.contains("error") && !answer.contains("tidemill_partitions"), "{answer}");
    };
    earlier().await;
    differ(with_partitions(&nats, 4).await, "nats.partitions is 4", "has messages of 6 ");
    with_partitions(&nats, 8).await.expect("may be");
    differ(with_partitions(&nats, 16).await, "nats.partitions is 16", "made for 8 ");
    // A service of the earlier release that is started takes the number away again.
    earlier().await;
    bus.same_partitions().await.expect("writes it again");
    differ(with_partitions(&nats, 16).await, "nats.partitions is 16", "made for 8 ");
}

#[tokio::test]
async fn a_message_goes_right_behind_the_last_one_of_its_subject_or_nowhere() {
    let nats = TestNats::start().await;
    let (bus, other) = (connect(&nats).await, connect(&nats).await);
    let first = bus.publish_after(&batch(1, 0), 0).await.expect("the subject is empty");
    other.publish_after(&batch(2, 1), 0).await.expect("another subject does not count");
    let second = bus.publish_after(&batch(3, 0), first.sequence).await.expect("stored");
    for tail in [0, first.sequence, second.sequence + 1] {
        let refused = other.publish_after(&batch(4, 0), tail).await.expect_err("the subject does not end there");
        assert!(matches!(&refused, Error::Conflict { subject } if subject == "tm.raw.0"), "{refused}");
        assert!(refused.is_transient() && !refused.is_outage(), "{refused}");
    }
    let repeated = bus.publish_after(&batch(3, 0), first.sequence).await.expect_err("it is there already");
    assert!(matches!(repeated, Error::Conflict { .. }), "{repeated}");
    let copy = bus.publish_after(&batch(3, 0), second.sequence).await.expect("known by its id");
    assert_eq!((copy.duplicate, copy.sequence), (true, second.sequence));
    // As after a crash of the server that took the end away.
    bus.delete::<RawBatch>(second.sequence).await.expect("is gone");
    let refused = bus.publish_after(&batch(5, 0), second.sequence).await.expect_err("its predecessor is gone");
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
    bus.publish_after(&batch(5, 0), first.sequence).await.expect("stored behind what is left");
    bus.publish(&batch(6, 0)).await.expect("without a condition, it goes behind whatever is there");
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
    held[1].ack().await.expect("acknowledges both");
    drop((first, held));
    assert_eq!(bus.lag(durable).await.expect("answers"), 4);
    let mut second = bus.subscribe(durable).await.expect("opens");
    let mut ids = Vec::new();
    while ids.len() < 4 {
        let chunk = second.next_chunk(10).await.expect("messages");
        ids.extend(chunk.iter().map(|d| d.decode::<RawBatch>().expect("a batch").batch_id.as_u128()));
        chunk.last().expect("one at least").ack().await.expect("acknowledges");
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
        shares: false,
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

#[tokio::test]
async fn a_lease_goes_to_whoever_is_first_and_only_its_holder_gives_it_back() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let first = bus.take_lease("aggregation", "3", "a", None).await.expect("answers").expect("is free");
    assert_eq!(bus.take_lease("aggregation", "3", "b", None).await.expect("answers"), None);
    let second = bus.take_lease("aggregation", "3", "b", Some(first)).await.expect("answers").expect("is taken over");
    assert_eq!(bus.take_lease("aggregation", "3", "c", Some(first)).await.expect("answers"), None);
    bus.release_lease("aggregation", "3", first).await.expect("is no longer its to give, and no harm");
    let mut changes = std::pin::pin!(bus.watch_work("aggregation").await.expect("watches"));
    let held = Change::Held { unit: "3".into(), holder: "b".into(), revision: second };
    assert_eq!(changes.next().await.expect("stands").expect("reads"), held);
    bus.release_lease("aggregation", "3", second).await.expect("is given back");
    assert_eq!(changes.next().await.expect("changes").expect("reads"), Change::Free { unit: "3".into() });
    bus.take_lease("aggregation", "3", "c", None).await.expect("answers").expect("is free again");
}

#[tokio::test]
async fn the_widest_request_for_missing_batches_stands_until_it_is_answered() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    let partition = Partition::new(2);
    assert_eq!(bus.asked_again(partition).await.expect("answers"), None);
    for after in [50, 70, 40] {
        bus.ask_again(partition, after).await.expect("asks");
    }
    let request = bus.asked_again(partition).await.expect("answers").expect("stands");
    assert_eq!(request.after, 40);
    bus.ask_again(partition, 10).await.expect("asks for more");
    bus.answered_again(partition, request).await.expect("is no answer to that");
    let request = bus.asked_again(partition).await.expect("answers").expect("still stands");
    assert_eq!(request.after, 10);
    bus.answered_again(partition, request).await.expect("is answered");
    assert_eq!(bus.asked_again(partition).await.expect("answers"), None);
    bus.ask_again(partition, 90).await.expect("asks anew");
    assert_eq!(bus.asked_again(partition).await.expect("answers").map(|request| request.after), Some(90));
}

#[tokio::test]
async fn a_holder_that_hangs_takes_nothing_away_from_the_next_one() {
    let nats = TestNats::start().await;
    let (bus, next) = (connect(&nats).await, connect(&nats).await);
    let durable = Durable::Enrichment(Partition::new(3));
    // It has asked for messages, and will never look at them.
    let hanging = bus.subscribe(durable).await.expect("opens");
    let mut subscription = next.subscribe(durable).await.expect("opens");
    for n in 1..=6 {
        bus.publish(&batch(n, 3)).await.expect("stored");
    }
    let mut seen: Vec<u64> = Vec::new();
    while seen.len() < 6 {
        match tokio::time::timeout(DEADLINE, subscription.next()).await.expect("in time") {
            Ok(delivery) => {
                seen.push(delivery.sequence);
                delivery.ack().await.expect("acknowledges");
            }
            // Some went to the other one: from the start of what is left.
            Err(_) => subscription = next.subscribe(durable).await.expect("opens"),
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6], "in order, none twice");
    drop(hanging);
}

#[tokio::test]
async fn a_reader_who_lost_everything_starts_from_the_first_message() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    for n in 1..=3 {
        bus.publish(&batch(n, 0)).await.expect("stored");
    }
    let mut subscription = bus.subscribe(Durable::ReportingRaw).await.expect("opens");
    for sequence in 1..=3 {
        let delivery = subscription.next().await.expect("a message");
        assert_eq!(delivery.sequence, sequence);
        delivery.ack().await.expect("acknowledges");
    }
    drop(subscription);
    assert_eq!(first(&bus, 0).await, 1);
    assert_eq!(first(&bus, 2).await, 3);
    let mut end = bus.subscribe_behind(Durable::ReportingRaw, 3).await.expect("opens behind the last one");
    bus.publish(&batch(4, 0)).await.expect("stored");
    let next = match end.next().await {
        Ok(delivery) => delivery.sequence,
        Err(_) => first(&bus, 3).await,
    };
    assert_eq!(next, 4);
}

/// The first message behind a position. What an earlier reader had asked for
/// may reach it still; then, as every reader does, this one opens once more.
async fn first(bus: &Bus, position: u64) -> u64 {
    eventually("a message comes", DEADLINE, || async {
        let mut subscription = bus.subscribe_behind(Durable::ReportingRaw, position).await.expect("opens");
        subscription.next().await.ok().map(|delivery| delivery.sequence)
    })
    .await
}

/// As after a power cut: nobody says that the connection is gone.
#[tokio::test]
async fn a_server_that_says_nothing_is_noticed() {
    let nats = TestNats::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = nats.url_at(listener.local_addr().expect("an address"));
    let server = ("127.0.0.1", nats.server.port());
    let (cut, power) = tokio::sync::watch::channel(true);
    let relay = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("the client");
        let mut server = TcpStream::connect(server).await.expect("the server");
        let mut is_cut = power.clone();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = is_cut.wait_for(|on| !on) => {}
        }
        // Both ends stay open, and nothing goes through any more.
        std::future::pending::<()>().await;
    });
    let bus = Bus::connect(&Config { url, ..Config::default() }, "test").await.expect("connects");
    assert!(bus.is_connected());
    cut.send_replace(false);
    eventually("the client leaves", Duration::from_secs(20), || async { (!bus.is_connected()).then_some(()) }).await;
    relay.abort();
}

/// On a laptop every user and every page of a browser reaches loopback.
#[tokio::test]
async fn the_embedded_server_is_for_who_knows_its_password() {
    let nats = TestNats::start().await;
    let url = nats.url();
    let stranger = |user: Option<&str>| Config {
        url: format!("nats://127.0.0.1:{}", nats.server.port()),
        user: user.map(str::to_owned),
        password: user.map(|_| "guessed".to_owned()),
        ..Config::default()
    };
    for user in [None, Some("tidemill")] {
        let refused = Bus::connect(&stranger(user), "stranger").await.expect_err("no password");
        assert!(matches!(refused, Error::Connect(_)), "{refused}");
    }
    Bus::connect(&Config { url: url.clone(), ..Config::default() }, "owner").await.expect("connects");

    let password = url.split([':', '@']).nth(2).expect("a password");
    assert_eq!(password.len(), 32);
    assert!(!format!("{:?}", nats.server).contains(password));
    let process = nats.server.pid().expect("it runs");
    let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).expect("its command line");
    assert!(!command.contains(password), "everybody may read it");
    let config = command.split('\0').find(|argument| argument.ends_with("nats.conf")).expect("its configuration");
    assert_eq!(std::fs::metadata(config).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_ne!(TestNats::start().await.url().split([':', '@']).nth(2), Some(password), "made up at each start");
}

#[tokio::test]
async fn a_deleted_message_is_gone_and_its_room_is_free() {
    let nats = TestNats::start().await;
    let bus = connect(&nats).await;
    for n in 1..=3 {
        bus.publish(&batch(n, 0)).await.expect("stored");
    }
    let before = bus.usage(StreamName::Raw).await.expect("answers");
    assert!(before.bytes > 0 && before.max_bytes == Config::default().log_bytes, "{before:?}");
    for _ in 0..2 {
        bus.delete::<RawBatch>(2).await.expect("is gone, also by the second time");
    }
    bus.delete::<RawBatch>(99).await.expect("was never there");
    assert!(bus.message_at::<RawBatch>(2).await.expect("reads").is_none());
    assert!(bus.message_at::<RawBatch>(3).await.expect("reads").is_some());
    let after = bus.usage(StreamName::Raw).await.expect("answers");
    assert!(after.bytes < before.bytes, "{after:?}");
    assert!(before.is_below((1, 2)) && !before.is_below((0, 1)));
}
