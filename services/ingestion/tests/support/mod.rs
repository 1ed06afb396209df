//! A service on a real nats-server of its own.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test crate uses its part")]

use std::{net::SocketAddr, time::Duration};

use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tidemill_bus::Bus;
use tidemill_events::{DeadLetter, Message, RawBatch, event::lines};
use tidemill_ingestion::Config;
use tidemill_service::{AuthConfig, Context, HttpConfig, Service as _};
use tidemill_testkit::TestNats;

pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Service {
    pub nats: TestNats,
    pub address: SocketAddr,
    pub context: Context,
    pub client: Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

pub fn client() -> Client {
    tidemill_service::install_crypto();
    Client::builder().no_proxy().timeout(DEADLINE).build().expect("a client")
}

impl Service {
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let nats = TestNats::start().await;
        let mut config = Config { http: HttpConfig::at(([127, 0, 0, 1], 0).into()), ..Config::default() };
        config.auth = AuthConfig::everybody();
        config.nats.url = nats.url();
        config.nats.timeout_seconds = 1;
        // A busy machine is no outage: who wants one says so.
        config.publish.deadline_ms = 20_000;
        change(&mut config);
        let context = Context::new("ingestion");
        let handle = tidemill_ingestion::IngestionService::start(config, context.clone()).await.expect("starts");
        Self { nats, address: handle.address, context, client: client() }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    /// Posts a body to `/v1/events`.
    pub async fn send(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.post("/v1/events").header("content-type", content_type).body(body)).await
    }

    /// The events in the log, in stream order.
    pub async fn log(&self) -> Vec<Value> {
        log(&self.nats).await
    }

    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        stored(&self.nats).await
    }

    pub async fn metrics(&self) -> String {
        let metrics = self.client.get(format!("http://{}/metrics", self.address)).send().await.expect("an answer");
        metrics.text().await.expect("text")
    }

    pub async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "drains");
        assert_eq!(self.context.failure(), None);
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("a body");
    Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

impl Answer {
    #[track_caller]
    pub fn accepted(&self, accepted: usize) {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        assert_eq!(self.body["accepted"], accepted, "{self:?}");
        assert_eq!((&self.body["rejected"], &self.body["rejected_total"]), (&json!([]), &json!(0)), "{self:?}");
    }

    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["type"], format!("urn:tidemill:problem:{code}"));
        assert_eq!(self.body["status"], status);
        assert_eq!(self.headers.contains_key("retry-after"), matches!(status, 429 | 503));
    }
}

/// All messages of a stream.
pub async fn stored<M: Message>(nats: &TestNats) -> Vec<M> {
    let config = tidemill_bus::Config { url: nats.url(), ..tidemill_bus::Config::default() };
    let bus = Bus::connect(&config, "test").await.expect("connects");
    let mut messages = Vec::new();
    for sequence in 1.. {
        match bus.message_at::<M>(sequence).await.expect("reads") {
            Some(stored) => messages.push(stored.message),
            None => break,
        }
    }
    messages
}

/// All events of the log, once the headers of each batch are seen to agree
/// with its lines.
pub async fn log(nats: &TestNats) -> Vec<Value> {
    let mut events = Vec::new();
    for batch in stored::<RawBatch>(nats).await {
        let before = events.len();
        for line in lines(&batch.lines) {
            let event: Value = serde_json::from_slice(line).expect("a line is JSON");
            assert!(batch.sources.contains_key(event["source"].as_str().expect("a source")));
            events.push(event);
        }
        assert_eq!(events.len() - before, batch.count() as usize);
    }
    events
}

/// A product view with this id.
pub fn view(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": "product.viewed", "time": "2026-01-02T03:04:05Z",
        "subject": "customer-1", "data": {"product_id": "p-1"},
    })
}
