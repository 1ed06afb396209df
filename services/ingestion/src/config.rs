//! The service's settings.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_service::{AuthConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig};

/// All settings of the service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub http: HttpConfig,
    /// How to reach NATS.
    pub nats: tidemill_bus::Config,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Who may send.
    pub auth: AuthConfig,
    /// Which pages may send from a browser.
    pub cors: CorsConfig,
    /// What a sender's address is.
    pub sender: SenderConfig,
    /// How much is taken in at once.
    pub limits: RequestLimitsConfig,
    /// Writing to the log.
    pub publish: PublishConfig,
    /// What is kept of rejected events.
    pub dead_letters: DeadLettersConfig,
    /// What an event's data must look like.
    pub schemas: SchemasConfig,
}

/// Section `cors`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// Origins whose pages may send events, for instance
    /// `https://shop.example`. With none, any may, without credentials.
    pub origins: BTreeSet<String>,
}

/// Section `sender`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SenderConfig {
    /// The address that becomes the `clientip` of events that have none.
    pub clientip: ClientIp,
    /// Proxies in front that each append to `X-Forwarded-For`. With 0, the
    /// address is the connection's.
    pub trusted_proxies: usize,
}

/// The address that becomes the `clientip` of events that have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientIp {
    /// Of requests from web pages (those with an `Origin`): a server that
    /// sends for its customers has another address than they.
    #[default]
    Browsers,
    /// Of every request.
    Always,
    /// Of none.
    Never,
}

/// Bytes of memory that a byte of an event may need while it is validated: an
/// array of small arrays becomes ninety times its text, and what its schema has
/// against each of them more.
pub(crate) const EXPANSION: usize = 256;

/// Section `limits`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimitsConfig {
    /// Bytes of a body as it is sent.
    pub wire_bytes: usize,
    /// Bytes of a body once it is inflated.
    pub inflated_bytes: usize,
    /// Bytes of one event, as sent and as written to the log; at most 128 KiB.
    pub event_bytes: usize,
    /// Events in one request.
    pub events_per_request: usize,
    /// Nested arrays and objects in one event; at most 100.
    pub depth: usize,
    /// Events a second for each key; 429 beyond.
    pub rate_per_key: NonZeroU32,
    /// Events that a key may send at once; at least `events_per_request`.
    pub burst: NonZeroU32,
    /// Requests in work at once; 503 beyond.
    pub in_flight_requests: u32,
    /// Bytes that requests in work hold at once: their bodies as sent and
    /// inflated, what is made of them, and their answers; 503 beyond.
    pub in_flight_bytes: usize,
    /// Seconds that a body may take to arrive; at most 60.
    pub body_seconds: u64,
    /// Bytes in a stream that its readers may have before them, from which on requests
    /// are answered 429; half of the stream's room where that is less, or where this
    /// is not set.
    pub backlog_bytes: Option<u64>,
    /// Services for which senders wait so: those on the way to the numbers that are asked
    /// for. Leave out what does not run: it may have left a reader that reads no more.
    pub backlog_of: BTreeSet<BacklogOf>,
    /// Events that this replica remembers to tell a sender of duplicates.
    pub remembered_events: u64,
}

impl Default for RequestLimitsConfig {
    fn default() -> Self {
        Self {
            wire_bytes: 5 << 20,
            inflated_bytes: 32 << 20,
            event_bytes: 64 << 10,
            events_per_request: 10_000,
            depth: 64,
            rate_per_key: NonZeroU32::MIN.saturating_add(999_999),
            burst: NonZeroU32::MIN.saturating_add(999_999),
            in_flight_requests: 512,
            in_flight_bytes: 256 << 20,
            body_seconds: 30,
            backlog_bytes: None,
            backlog_of: [BacklogOf::Enrichment, BacklogOf::Aggregation, BacklogOf::Reporting].into(),
            remembered_events: 100_000,
        }
    }
}

/// A service for which senders may have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BacklogOf {
    /// It reads `RAW`.
    Enrichment,
    /// It reads `ENRICHED`.
    Aggregation,
    /// It reads `METRICS`.
    Reporting,
    /// It reads `ENRICHED` into silver. For a suite whose numbers are the lake's alone.
    Lake,
}

/// Section `publish`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// Milliseconds that a write to the log may take; 503 beyond. At most 20,000.
    pub deadline_ms: u64,
    /// Bytes of events from which on a batch is full; at most 128 KiB.
    pub batch_bytes: usize,
    /// Shares of requests that may wait for each partition's next batch.
    pub queue: usize,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self { deadline_ms: 5_000, batch_bytes: 128 << 10, queue: 512 }
    }
}

/// Section `dead_letters`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLettersConfig {
    /// Bytes of dead letters that each key may fill in a minute, on each
    /// replica; at least 524,288, which holds the largest letter. Rejected
    /// events beyond that are counted, and not kept.
    pub bytes_per_minute: NonZeroU32,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self { bytes_per_minute: NonZeroU32::MIN.saturating_add((4 << 20) - 1) }
    }
}

/// Section `schemas`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemasConfig {
    /// Folder of JSON Schemas, one file `<event type>.json` each. They come on
    /// top of the shop's event types, and replace those of the same name.
    pub folder: Option<PathBuf>,
    /// What becomes of events whose type has no schema.
    pub unknown: UnknownTypes,
}

/// What becomes of events whose type has no schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownTypes {
    /// They are rejected, so that a misspelt type is noticed.
    #[default]
    Reject,
    /// They are taken in as they are.
    Accept,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: HttpConfig::at(SocketAddr::from(([127, 0, 0, 1], 7070))),
            nats: tidemill_bus::Config::default(),
            telemetry: TelemetryConfig::default(),
            auth: AuthConfig::default(),
            cors: CorsConfig::default(),
            sender: SenderConfig::default(),
            limits: RequestLimitsConfig::default(),
            publish: PublishConfig::default(),
            dead_letters: DeadLettersConfig::default(),
            schemas: SchemasConfig::default(),
        }
    }
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

/// The largest event and the largest batch that fit a message together.
const MAX_PART: usize = 128 << 10;
/// Twice the largest dead letter.
const MIN_BUDGET: u32 = 512 << 10;

impl Config {
    /// What no single section can tell.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let Self { limits, publish, dead_letters, .. } = self;
        let largest = limits.wire_bytes.max(limits.inflated_bytes).max(limits.event_bytes.saturating_mul(EXPANSION));
        let rules = [
            ((1..=MAX_PART).contains(&limits.event_bytes), "limits.event_bytes must be 1 to 131072"),
            ((1..=MAX_PART).contains(&publish.batch_bytes), "publish.batch_bytes must be 1 to 131072"),
            ((1..=100).contains(&limits.depth), "limits.depth must be 1 to 100"),
            (limits.events_per_request > 0, "limits.events_per_request must be at least 1"),
            (
                usize::try_from(limits.burst.get()).is_ok_and(|burst| burst >= limits.events_per_request),
                "limits.burst must be at least limits.events_per_request",
            ),
            (limits.in_flight_requests > 0, "limits.in_flight_requests must be at least 1"),
            (
                limits.in_flight_bytes / 4 >= largest,
                "limits.in_flight_bytes must hold the largest body four times, and an event 1024 times",
            ),
            (
                dead_letters.bytes_per_minute.get() >= MIN_BUDGET,
                "dead_letters.bytes_per_minute must be at least 524288",
            ),
            (publish.queue > 0, "publish.queue must be at least 1"),
            // Together they are less than the server gives any answer (`shared/service/src/server.rs`).
            ((1..=60).contains(&limits.body_seconds), "limits.body_seconds must be 1 to 60"),
            ((1..=20_000).contains(&publish.deadline_ms), "publish.deadline_ms must be 1 to 20000"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(StartError::new(rule)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
