//! Streams that vanish under a service.

use std::time::Duration;

use tidemill_bus::{Bus, Config};
use tidemill_events::StreamName;
use tidemill_service::Context;
use tidemill_testkit::{TestNats, eventually, jetstream};

/// What is told of as within seconds, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(nats: &TestNats, service: &'static str) -> (Context, Bus) {
    tidemill_service::install_crypto();
    let context = Context::new(service);
    let bus = context.connect_bus(&Config { url: nats.url(), ..Config::default() }).await.expect("connects");
    (context, bus)
}

async fn asked(nats: &TestNats, call: &str, body: &str) {
    let answer = jetstream(&nats.url(), call, body).await;
    assert!(!answer.contains("\"error\""), "{answer}");
}

/// By a service that does nothing with it.
#[tokio::test(flavor = "multi_thread")]
async fn each_stream_and_bucket_is_made_anew() {
    let nats = TestNats::start().await;
    let (context, bus) = start(&nats, "reporting").await;
    let buckets = ["tm_members", "tm_leases", "tm_requests"].map(|bucket| format!("KV_{bucket}"));
    for stream in StreamName::ALL.iter().map(|name| name.as_str().to_owned()).chain(buckets) {
        asked(&nats, &format!("STREAM.DELETE.{stream}"), "").await;
    }
    eventually("all are there", DEADLINE, async || bus.missing().await.ok().filter(Vec::is_empty)).await;
    eventually("it is ready", DEADLINE, async || context.health.is_ready().then_some(())).await;
    assert_eq!((context.health.notices().len(), context.failure()), (0, None));
    context.shutdown.cancel();
    assert!(context.drained(DEADLINE).await, "drains");
}

/// A stream that cannot be made, since another one has its subjects.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_told_for_as_long() {
    let nats = TestNats::start().await;
    let (context, _bus) = start(&nats, "ingestion").await;
    let told = async || context.health.problems().remove("streams");
    let noted = async || context.health.notices().remove("streams");
    for (gone, subjects) in [("PROFILES", "tm.profiles.*"), ("RAW", "tm.raw.*")] {
        taken_from(&nats, &[gone], subjects).await;
        let why = eventually("it is told", DEADLINE, async || match gone {
            "RAW" => told().await,
            _ => noted().await,
        });
        assert!(why.await.starts_with(&format!("gone: {gone}; ")), "{gone}");
        assert_eq!(context.health.is_ready(), gone != "RAW", "ingestion has no use for profiles");
        asked(&nats, "STREAM.DELETE.OTHER", "").await;
        let all_well = async || (told().await.is_none() && noted().await.is_none()).then_some(());
        eventually("it is made", DEADLINE, all_well).await;
    }
    assert!(context.health.is_ready());
    // Of two, the one that it needs can be made.
    taken_from(&nats, &["PROFILES", "RAW"], "tm.profiles.*").await;
    let of_one = async || noted().await.filter(|told| told.starts_with("gone: PROFILES; "));
    eventually("the other one is told of", DEADLINE, of_one).await;
    assert!(context.health.is_ready());
}

/// Another stream has these subjects, in place of streams that are deleted. They may be made
/// anew in between.
async fn taken_from(nats: &TestNats, gone: &[&str], subjects: &str) {
    let other = format!(r#"{{"name":"OTHER","subjects":["{subjects}"]}}"#);
    eventually("another one has the subjects", DEADLINE, async || {
        for stream in gone {
            jetstream(&nats.url(), &format!("STREAM.DELETE.{stream}"), "").await;
        }
        let answer = jetstream(&nats.url(), "STREAM.CREATE.OTHER", &other).await;
        (!answer.contains("\"error\"")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_another_number_of_partitions_does_not_start_and_does_not_stay() {
    let nats = TestNats::start().await;
    let (context, _bus) = start(&nats, "alert").await;
    let four = Config { url: nats.url(), partitions: 4, ..Config::default() };
    let late = Context::new("alert");
    let refused = late.connect_bus(&four).await.expect_err("the log has 8").to_string();
    assert!(refused.contains("partitions_differ: nats.partitions is 4") && refused.contains("made for 8"), "{refused}");
    // The log is made anew, by somebody who has another number.
    let other = r#"{"name":"RAW","subjects":["tm.raw.*"],"discard":"new","allow_direct":true,"metadata":{"tidemill_partitions":"4"}}"#;
    asked(&nats, "STREAM.UPDATE.RAW", other).await;
    let why = eventually("it ends", DEADLINE, async || context.failure().map(str::to_owned)).await;
    assert!(why.contains("partitions_differ: nats.partitions is 8") && why.contains("made for 4"), "{why}");
}
