//! What is away, what is missing, and what cannot be read.

mod common;

use common::{DEADLINE, Fixture, Gate, PARTITION, Prepared, Running, batch, fraud, now, revenue, toml_with_store};
use serde_json::Value;
use tidemill_bus::Request;
use tidemill_events::{DeadLetter, Durable, EnrichedBatch, Message};
use tidemill_testkit::{Postgres, eventually, skipped};

#[tokio::test]
async fn an_outage_of_nats_is_waited_for() {
    let mut fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    fixture.messages(1).await;
    fixture.nats.server.restart().await.expect("NATS comes back");
    let bus = fixture.bus.clone();
    eventually("published", DEADLINE, || {
        let bus = bus.clone();
        async move { bus.publish(&batch(2, 1, &[fraud("o-2", "c2")])).await.ok() }
    })
    .await;
    fixture.messages(2).await;
    service.ready().await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 2);
}

#[tokio::test]
async fn an_outage_of_the_store_pauses_all_and_loses_nothing() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("an_outage_of_the_store_pauses_all_and_loses_nothing", "no PostgreSQL is installed");
    };
    let server = postgres.url().split(['@', '/']).find_map(|part| part.parse().ok()).expect("an address");
    let gate = Gate::before(server).await;
    let store = postgres.url().replace(&server.to_string(), &gate.address().to_string());
    let fixture = Fixture::new().await;
    let webhook = fixture.slack.webhook_url();
    let service = Running::start(&toml_with_store(&fixture.nats.url(), &store, Some(&webhook), "")).await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    fixture.messages(1).await;

    gate.open(false);
    for n in 2..=5 {
        fixture.publish(&batch(n, n - 1, &[fraud(&format!("o-{n}"), &format!("c{n}"))])).await;
    }
    let reason = service.unready("store").await;
    assert!(!reason.is_empty());
    let (status, body) = service.get("/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.to_string().contains(&reason) || body.to_string().contains("store"), "{body}");
    service.counts("tidemill_breaker_open{dependency=\"store\"} 1").await;

    gate.open(true);
    fixture.messages(5).await;
    service.ready().await;
    let all = |alerts: &[Value]| alerts.len() == 5 && alerts.iter().all(|alert| alert["state"] == "notified");
    service.alerts("five alerts", all).await;
    assert_eq!(fixture.transitions(10).await.len(), 10);
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 5);
    assert!(fixture.bus.message_at::<DeadLetter>(1).await.expect("the DLQ answers").is_none());
}

#[tokio::test]
async fn an_outage_of_slack_is_told_and_waited_for() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.slack.fail_next(u32::MAX);
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    assert!(service.unready("slack").await.contains("503"));
    fixture.slack.fail_next(0);
    fixture.messages(1).await;
    service.ready().await;
    service.stop().await;
    assert!(fixture.bus.message_at::<DeadLetter>(1).await.expect("the DLQ answers").is_none());
}

fn unreadable(raw_seq: u64, raw_prev: u64) -> Prepared {
    let mut encoded = batch(raw_seq, raw_prev, &[fraud(&format!("o-{raw_seq}"), "c")]).encode().expect("encodes");
    encoded.headers[0].1 = "99".into();
    Prepared(encoded)
}

/// The same batch once more, for the server a message of its own.
fn again(batch: &EnrichedBatch) -> Prepared {
    let mut encoded = batch.encode().expect("encodes");
    encoded.message_id.push_str("-again");
    Prepared(encoded)
}

#[tokio::test]
async fn what_cannot_be_read_is_given_up_with_its_reason_and_holds_nothing_up() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    fixture.bus.publish(&unreadable(2, 1)).await.expect("published");
    fixture.publish(&batch(3, 2, &[fraud("o-3", "c3")])).await;
    fixture.messages(2).await;
    let letter =
        fixture.bus.message_at::<DeadLetter>(1).await.expect("the DLQ answers").expect("a dead letter").message;
    assert_eq!((letter.service.as_str(), letter.code.as_str()), ("alert", "unsupported_version"));
    assert_eq!((letter.stream.as_deref(), letter.sequence), (Some("ENRICHED"), Some(2)));
    eventually("nothing is left", DEADLINE, || async {
        let lag = fixture.bus.lag(Durable::AlertEvents(PARTITION)).await.expect("the consumer answers");
        (lag == 0).then_some(())
    })
    .await;
    let asked = fixture.bus.asked_again(PARTITION).await.expect("answers");
    assert_eq!(asked, None, "it would be made the same once more");
    service.stop().await;
}

async fn what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(store: &str) {
    let fixture = Fixture::new().await;
    let webhook = fixture.slack.webhook_url();
    let service = Running::start(&toml_with_store(&fixture.nats.url(), store, Some(&webhook), "")).await;
    tidemill_store::testing::refuse(store, "alerts", "firing", "c-poison").await.expect("refuses from now on");
    let events = [fraud("o-1", "c1"), fraud("o-2", "c-poison"), fraud("o-3", "c3")];
    fixture.publish(&batch(1, 0, &events)).await;
    fixture.publish(&batch(2, 1, &[fraud("o-4", "c4")])).await;
    fixture.messages(3).await;
    let letter =
        fixture.bus.message_at::<DeadLetter>(1).await.expect("the DLQ answers").expect("a dead letter").message;
    assert_eq!((letter.service.as_str(), letter.code.as_str()), ("alert", "store_refused"));
    assert!(String::from_utf8_lossy(&letter.body).contains("c-poison"), "it holds the alert");
    assert!(fixture.bus.message_at::<DeadLetter>(2).await.expect("the DLQ answers").is_none());
    eventually("nothing is left", DEADLINE, || async {
        let lag = fixture.bus.lag(Durable::AlertEvents(PARTITION)).await.expect("the consumer answers");
        (lag == 0).then_some(())
    })
    .await;
    service.ready().await;
    let all = |alerts: &[Value]| alerts.len() == 3 && alerts.iter().all(|alert| alert["state"] == "notified");
    service.alerts("the others", all).await;
    service.stop().await;
}

#[tokio::test]
async fn what_sqlite_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let folder = tidemill_testkit::tempdir();
    let store = format!("sqlite://{}/alert.db", folder.path().display());
    what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(&store).await;
}

#[tokio::test]
async fn what_postgres_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("what_postgres_refuses_is_a_dead_letter_and_holds_nothing_up", "no PostgreSQL is installed");
    };
    what_the_store_refuses_is_a_dead_letter_and_holds_nothing_up(&postgres.url()).await;
}

#[tokio::test]
async fn a_consumer_halts_at_the_ceiling_of_dead_letters_and_the_service_lives_on() {
    let fixture = Fixture::new().await;
    let ceiling = "[dead_letters]\ntolerated = 5\n";
    let service = Running::start(&fixture.toml(ceiling)).await;
    for n in 1..=8 {
        fixture.bus.publish(&unreadable(n, n - 1)).await.expect("published");
    }
    let reason = service.unready("consumer").await;
    assert!(reason.starts_with("alert-events-1: 6 of the last 6 could not be read"), "{reason}");
    let letter = async |n| fixture.bus.message_at::<DeadLetter>(n).await.expect("the DLQ answers");
    assert!(letter(5).await.is_some() && letter(6).await.is_none());
    let (live, _) = service.get("/v1/rules").await;
    assert_eq!((live, service.context.failure()), (200, None));
    service.stop().await;

    // A release that can read them finds all that was not given up.
    let lag = fixture.bus.lag(Durable::AlertEvents(PARTITION)).await.expect("the consumer answers");
    assert_eq!(lag, 3);
}

#[tokio::test]
async fn missing_batches_are_asked_for_and_what_came_early_is_evaluated_behind_them() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    let batches: Vec<EnrichedBatch> = [(3, 0), (5, 3), (9, 5), (10, 9)]
        .iter()
        .map(|(seq, prev)| batch(*seq, *prev, &[fraud(&format!("o-{seq}"), &format!("c{seq}"))]))
        .collect();
    fixture.publish(&batches[0]).await;
    fixture.messages(1).await;
    // 5 is lost.
    fixture.publish(&batches[2]).await;
    let reason = service.unready("enriched_gap").await;
    assert!(reason.starts_with("1: the batches of RAW behind 3 are missing"), "{reason}");
    let asked = async || -> Request {
        eventually("enrichment is asked", DEADLINE, || async {
            fixture.bus.asked_again(PARTITION).await.expect("answers")
        })
        .await
    };
    let request = asked().await;
    assert_eq!(request.after, 3);
    eventually("the early batch is acknowledged", DEADLINE, || async {
        let lag = fixture.bus.lag(Durable::AlertEvents(PARTITION)).await.expect("the consumer answers");
        (lag == 0).then_some(())
    })
    .await;

    // The next owner, to whom the early batch comes again, asks too.
    service.stop().await;
    fixture.bus.answered_again(PARTITION, request).await.expect("withdrawn");
    let service = fixture.start().await;
    assert_eq!(asked().await.after, 3);
    service.unready("enriched_gap").await;
    assert_eq!(service.alerts("the first", |alerts| alerts.len() == 1).await.len(), 1);

    // As enrichment answers: everything behind 3, and on from there.
    for batch in &batches[1..3] {
        fixture.bus.publish(&again(batch)).await.expect("published");
    }
    fixture.publish(&batches[3]).await;
    fixture.messages(4).await;
    service.ready().await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 4);
}

/// What readiness says of a consumer that has met another log.
async fn foreign(service: &Running, consumer: &str) -> String {
    eventually("another log is told of", DEADLINE, async || {
        let told = service.context.health.problems().remove("consumer")?;
        (told.starts_with(consumer) && told.contains("foreign_log")).then_some(told)
    })
    .await
}

async fn nothing_of_another_log_is_evaluated(store: impl Fn(&Fixture) -> String) {
    let mut fixture = Fixture::new().await;
    let webhook = fixture.slack.webhook_url();
    let toml = toml_with_store(&fixture.nats.url(), &store(&fixture), Some(&webhook), "");
    let service = Running::start(&toml).await;
    for n in 1..=3 {
        fixture.log(&batch(n, n - 1, &[fraud(&format!("o-{n}"), "c")])).await;
    }
    fixture.messages(3).await;
    fixture.lose_log().await;
    // The new log has come further than the old one before anybody has looked.
    for n in 1..=5 {
        fixture.log(&batch(n, n - 1, &[fraud(&format!("new-{n}"), "c")])).await;
    }
    let told = foreign(&service, "alert-events-1: ").await;
    assert!(told.contains("RAW has at 3 what came in at "), "{told}");
    assert_eq!(service.get("/readyz").await.0, 503);
    assert_eq!(fixture.slack.messages().len(), 3);
    service.stop().await;
    // Nor by who starts.
    let service = Running::start(&toml).await;
    foreign(&service, "alert-events-1: ").await;
    assert_eq!(fixture.slack.messages().len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn nothing_of_another_log_is_evaluated_on_sqlite() {
    nothing_of_another_log_is_evaluated(|fixture| format!("sqlite://{}/alert.db", fixture.folder.path().display()))
        .await;
}

#[tokio::test]
async fn nothing_of_another_log_is_evaluated_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("nothing_of_another_log_is_evaluated_on_postgresql", "no PostgreSQL is installed");
    };
    nothing_of_another_log_is_evaluated(|_| postgres.url()).await;
}

/// Its totals do not reach as far as those of the old one, and so would change nothing.
#[tokio::test]
async fn totals_of_another_log_are_not_passed_over_in_silence() {
    let mut fixture = Fixture::new().await;
    let service = fixture.start().await;
    for n in 1..=9 {
        fixture.log(&batch(n, n - 1, &[])).await;
    }
    let lag = async |fixture: &Fixture| fixture.bus.lag(Durable::AlertMetrics).await.ok();
    fixture.bus.publish(&revenue(1, 9, now(), "Books", 1)).await.expect("published");
    eventually("the totals are known", DEADLINE, async || (lag(&fixture).await == Some(0)).then_some(())).await;
    fixture.lose_log().await;
    fixture.log(&batch(1, 0, &[])).await;
    fixture.bus.publish(&revenue(1, 1, now(), "Books", 1)).await.expect("published");
    let metrics = async || {
        let told = service.context.health.problems().remove("consumer")?;
        // Both kinds of rules have: one is named, and the other counted.
        told.contains("foreign_log").then_some(told)
    };
    eventually("another log is told of", DEADLINE, metrics).await;
    eventually("by both", DEADLINE, async || metrics().await.filter(|told| told.contains("(and 1 more)"))).await;
    assert_ne!(lag(&fixture).await, Some(0), "they wait");
    service.stop().await;
}
