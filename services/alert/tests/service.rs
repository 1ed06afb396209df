//! The whole service over a real NATS and a strict Slack.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::{Router, http::StatusCode, response::IntoResponse, routing::post};
use common::{Fixture, MINUTE, Prepared, Running, TRACE, batch, fraud, now, revenue, toml};
use serde_json::Value;
use tidemill_events::{AlertState, EnrichedBatch, Message, TraceParent};

fn texts(message: &Value) -> String {
    message["blocks"].to_string()
}

/// Every text in which markup means something, wherever it stands.
fn mrkdwn(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) if members.get("type").is_some_and(|kind| kind == "mrkdwn") => {
            members["text"].as_str().into_iter().collect()
        }
        Value::Object(members) => members.values().flat_map(mrkdwn).collect(),
        Value::Array(items) => items.iter().flat_map(mrkdwn).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_suspicious_order_becomes_one_slack_message_one_record_and_two_transitions() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    let order = batch(5, 0, &[fraud("o-1", "<!channel> & Søn")]);
    fixture.publish(&order).await;
    let message = fixture.messages(1).await.remove(0);
    assert!(texts(&message).contains("&lt;!channel&gt; &amp; Søn"), "{message}");
    assert!(mrkdwn(&message).iter().all(|text| !text.contains(['<', '>'])), "{message}");
    assert!(texts(&message).contains("http://jaeger.test/trace/4bf92f3577b34da6a3ce929d0e0e4736"), "{message}");
    assert!(texts(&message).contains("http://dash.test/") && texts(&message).contains("14999.97"), "{message}");
    let parent: TraceParent = fixture.slack.traceparents()[0].parse().expect("a traceparent");
    assert_eq!(parent.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");

    let transitions = fixture.transitions(2).await;
    assert_eq!([transitions[0].state, transitions[1].state], [AlertState::Firing, AlertState::Notified]);
    assert_eq!(transitions[0].id, transitions[1].id);
    assert_eq!((transitions[0].raw_seq, transitions[0].trace), (5, TRACE.parse().ok()));

    let alerts = service.alerts("a notified alert", |a| a.len() == 1 && a[0]["state"] == "notified").await;
    assert_eq!(alerts[0]["rule"], "FRAUD_DETECTION");
    assert_eq!(alerts[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(alerts[0]["values"]["amount"], "14999.97");
    service.counts("tidemill_alert_alerts_total{rule=\"FRAUD_DETECTION\"} 1").await;

    // The same batch again, as after a crash of enrichment, and one more to
    // know that the consumer has passed it.
    let again = EnrichedBatch { raw_prev: 1, ..order };
    fixture.nats_publish_again(&again).await;
    // Its customer would have lines of ours in the message, and turn them around.
    fixture.publish(&batch(6, 5, &[fraud("o-2", "c2\u{202e}\n*critical*\u{1b}[1m")])).await;
    fixture.messages(2).await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 2);
    assert_eq!(fixture.slack.refusals(), Vec::<String>::new());
}

impl Fixture {
    /// Publishes a batch under another message id, so that the server takes it
    /// for a new message.
    async fn nats_publish_again(&self, batch: &EnrichedBatch) {
        let mut encoded = batch.encode().expect("encodes");
        encoded.message_id.push_str("-again");
        self.bus.publish(&Prepared(encoded)).await.expect("published");
    }
}

#[tokio::test]
async fn a_revenue_spike_becomes_one_slack_message() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    let present = now().floor_to(MINUTE);
    for index in 0..6 {
        let start = present.plus_millis((index - 5) * MINUTE);
        let seq = 10 * (index as u64 + 1);
        let amount = if index == 5 { 301 } else { 150 };
        for (partition, category) in [(0, "books"), (1, "books"), (0, "games")] {
            let amount = if category == "games" { 200 } else { amount };
            let seq = seq + u64::from(partition) + u64::from(category == "games") * 3;
            fixture.bus.publish(&revenue(partition, seq, start, category, amount)).await.expect("published");
        }
    }
    let message = fixture.messages(1).await.remove(0);
    assert!(texts(&message).contains("Revenue spike in books") && texts(&message).contains("602.00"), "{message}");
    let alerts = service.alerts("one alert", |alerts| alerts.len() == 1 && alerts[0]["state"] == "notified").await;
    assert_eq!(alerts[0]["values"]["baseline.revenue"], 300.0);
    assert_eq!(alerts[0]["dimensions"]["category"], "books");
    // The totals grow on: still the same alert. One of games shows that they were read.
    fixture.bus.publish(&revenue(0, 90, present, "books", 500)).await.expect("published");
    fixture.bus.publish(&revenue(1, 91, present, "games", 500)).await.expect("published");
    fixture.messages(2).await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 2);
    assert_eq!(fixture.slack.refusals(), Vec::<String>::new());
}

#[tokio::test]
async fn a_slack_that_is_down_is_tried_again() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.slack.fail_next(2);
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    fixture.messages(1).await;
    assert!(service.metrics().await.contains("tidemill_alert_notification_attempts_failed_total 2"));
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 1);
}

#[tokio::test]
async fn a_restart_between_alert_and_message_loses_and_repeats_nothing() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.slack.fail_next(u32::MAX);
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    service.alerts("a pending alert", |alerts| alerts.len() == 1 && alerts[0]["notification"] == "pending").await;
    service.stop().await;
    assert!(fixture.slack.messages().is_empty());

    fixture.slack.fail_next(0);
    let service = fixture.start().await;
    fixture.messages(1).await;
    service.alerts("a notified alert", |alerts| alerts.len() == 1 && alerts[0]["state"] == "notified").await;
    service.stop().await;

    // After one more start nothing is left to do but what is new.
    let service = fixture.start().await;
    fixture.publish(&batch(2, 1, &[fraud("o-2", "c2")])).await;
    fixture.messages(2).await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 2);
    assert_eq!(fixture.transitions(4).await.len(), 4);
}

#[tokio::test]
async fn a_flood_is_told_in_one_summary() {
    let fixture = Fixture::new().await;
    let service = Running::start(&fixture.toml("messages_per_minute = 3\n")).await;
    let orders: Vec<Value> = (0..40).map(|n| fraud(&format!("o-{n}"), &format!("<c{n}>"))).collect();
    fixture.publish(&batch(1, 0, &orders)).await;
    let messages = fixture.messages(3).await;
    assert!(texts(&messages[2]).contains("FRAUD_DETECTION: 38 more alerts"), "{}", messages[2]);
    assert!(texts(&messages[2]).contains("&lt;c") && texts(&messages[2]).contains("and 28 others"), "{}", messages[2]);
    let all = |alerts: &[Value]| alerts.len() == 40 && alerts.iter().all(|alert| alert["state"] == "notified");
    service.alerts("40 notified alerts", all).await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 3);
    assert_eq!(fixture.slack.refusals(), Vec::<String>::new());
}

/// A webhook that answers in turn what it is told.
async fn webhook(answers: &'static [(u16, Option<&'static str>, &'static str)]) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let answer = move || async move {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        let (status, retry_after, body) = answers[call.min(answers.len() - 1)];
        let status = StatusCode::from_u16(status).expect("a status");
        let header = retry_after.map(|seconds| [("retry-after", seconds)]);
        match header {
            Some(header) => (status, header, body).into_response(),
            None => (status, body).into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().route("/services/T/B/secret", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}/services/T/B/secret"), calls)
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let fixture = Fixture::new().await;
    let (url, calls) = webhook(&[(429, Some("2"), "ratelimited"), (200, None, "ok")]).await;
    let service = Running::start(&toml(&fixture.nats.url(), fixture.folder.path(), Some(&url), "")).await;
    let begin = Instant::now();
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    service.alerts("a notified alert", |alerts| alerts.len() == 1 && alerts[0]["state"] == "notified").await;
    assert!(begin.elapsed().as_secs() >= 2, "{:?}", begin.elapsed());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_is_final_and_recorded_without_the_secret() {
    let fixture = Fixture::new().await;
    let (url, calls) = webhook(&[(404, None, "no_service"), (200, None, "ok")]).await;
    let service = Running::start(&toml(&fixture.nats.url(), fixture.folder.path(), Some(&url), "")).await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    let alerts = service.alerts("a refused one", |a| a.len() == 1 && a[0]["notification"] == "refused").await;
    assert_eq!(alerts[0]["reason"], "404 Not Found: no_service");
    assert_eq!((&alerts[0]["state"], &alerts[0]["notified_at"]), (&Value::from("firing"), &Value::Null));
    service.counts("tidemill_alert_notifications_total{outcome=\"refused\"} 1").await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    service.stop().await;
}

#[tokio::test]
async fn without_a_webhook_alerts_are_recorded_and_published() {
    let fixture = Fixture::new().await;
    let service = Running::start(&toml(&fixture.nats.url(), fixture.folder.path(), None, "")).await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1")])).await;
    let alerts = service.alerts("an alert", |alerts| alerts.len() == 1).await;
    assert_eq!(alerts[0]["notification"], "off");
    assert_eq!(fixture.transitions(1).await[0].state, AlertState::Firing);
    service.stop().await;
    // A webhook that is set later is not flooded with what is past.
    let service = fixture.start().await;
    fixture.publish(&batch(2, 1, &[fraud("o-2", "c2")])).await;
    fixture.messages(1).await;
    service.stop().await;
    assert_eq!(fixture.slack.messages().len(), 1);
}

#[tokio::test]
async fn the_api_lists_filters_and_refuses() {
    let fixture = Fixture::new().await;
    let service = fixture.start().await;
    fixture.publish(&batch(1, 0, &[fraud("o-1", "c1"), fraud("o-2", "c2")])).await;
    service.alerts("two alerts", |alerts| alerts.len() == 2).await;
    assert_eq!(service.get("/v1/alerts?limit=1").await.1["alerts"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.get("/v1/alerts?rule=REVENUE_SPIKE").await.1["alerts"].as_array().map(Vec::len), Some(0));
    for query in ["limit=0", "limit=x", "limit=501", "rules=x"] {
        let (status, problem) = service.get(&format!("/v1/alerts?{query}")).await;
        assert_eq!((status, &problem["code"]), (400, &Value::from("invalid_parameter")), "{query}");
    }
    let rules = service.get("/v1/rules").await.1;
    assert_eq!(rules["rules"][1]["name"], "REVENUE_SPIKE");
    assert_eq!(rules["rules"][2]["definition"]["fire_at"], 60);
    assert!(service.get("/openapi.json").await.1["paths"]["/v1/alerts"].is_object());
    assert_eq!(service.get("/readyz").await.0, 200);
    service.stop().await;
}
