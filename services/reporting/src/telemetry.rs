//! What the service tells of itself.

mod drift;

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};
use tidemill_bus::Usage;
use tidemill_domain::{Code, Timestamp};
use tidemill_events::Durable;
use tidemill_service::Registry;
use tidemill_service::telemetry::CodeLabel;

use drift::DriftTelemetry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabel {
    view: &'static str,
    outcome: &'static str,
}

/// The service's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    messages: Family<StreamLabel, Counter>,
    chunks: Family<StreamLabel, Histogram, fn() -> Histogram>,
    cells: Counter,
    rollups: Counter,
    rollups_waiting: Gauge<u64, AtomicU64>,
    dead_letters: Family<CodeLabel, Counter>,
    lag: Family<StreamLabel, Gauge<u64, AtomicU64>>,
    dead_letter_bytes: Gauge<u64, AtomicU64>,
    dead_letter_limit: Gauge<u64, AtomicU64>,
    freshness: Histogram,
    requests: Family<QuestionLabel, Counter>,
    seconds: Histogram,
    clients: Gauge<u64, AtomicU64>,
    pub(crate) drift: DriftTelemetry,
}

impl Telemetry {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        let chunks: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 2.0, 9));
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let telemetry = Self {
            messages: Family::default(),
            chunks: Family::new_with_constructor(chunks),
            cells: Counter::default(),
            rollups: Counter::default(),
            rollups_waiting: Gauge::default(),
            dead_letters: Family::default(),
            lag: Family::default(),
            dead_letter_bytes: Gauge::default(),
            dead_letter_limit: Gauge::default(),
            freshness: seconds(),
            requests: Family::default(),
            seconds: seconds(),
            clients: Gauge::default(),
            drift: DriftTelemetry::new(registry),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_reporting");
            registry.register("messages", "Messages folded into the read model", telemetry.messages.clone());
            registry.register("chunk_messages", "Messages folded in one transaction", telemetry.chunks.clone());
            registry.register("cells_written", "Window totals written", telemetry.cells.clone());
            registry.register(
                "rollups",
                "Hours and days of metrics looked at to be rolled up",
                telemetry.rollups.clone(),
            );
            registry.register(
                "rollups_waiting",
                "Hours and days of metrics that are marked to be rolled up",
                telemetry.rollups_waiting.clone(),
            );
            registry.register("dead_letters", "Messages given up, by code", telemetry.dead_letters.clone());
            registry.register("consumer_lag", "Messages yet to be folded", telemetry.lag.clone());
            registry.register(
                "dead_letter_stream_bytes",
                "Bytes that the stream of dead letters takes",
                telemetry.dead_letter_bytes.clone(),
            );
            registry.register(
                "dead_letter_stream_limit_bytes",
                "Bytes that the stream of dead letters may take",
                telemetry.dead_letter_limit.clone(),
            );
            registry.register(
                "freshness_seconds",
                "From aggregation's update to the read model",
                telemetry.freshness.clone(),
            );
            registry.register("requests", "Questions about metrics, by outcome", telemetry.requests.clone());
            registry.register("request_seconds", "Time to answer a question about a metric", telemetry.seconds.clone());
            registry.register("stream_clients", "Clients of the live stream", telemetry.clients.clone());
        });
        telemetry
    }

    /// A chunk of messages of a stream was folded.
    pub(crate) fn folded(&self, stream: &'static str, messages: usize) {
        self.messages.get_or_create(&StreamLabel { stream }).inc_by(messages as u64);
        self.chunks.get_or_create(&StreamLabel { stream }).observe(messages as f64);
    }

    /// Totals were written.
    pub(crate) fn cells(&self, cells: usize) {
        self.cells.inc_by(cells as u64);
    }

    /// So many hours and days were dealt with, and so many wait.
    pub(crate) fn rolled_up(&self, made: usize, waiting: u64) {
        self.rollups.inc_by(made as u64);
        self.rollups_waiting.set(waiting);
    }

    /// An update that aggregation made at `made` is being folded.
    pub(crate) fn fresh(&self, made: Timestamp, now: Timestamp) {
        self.freshness.observe((now.millis() - made.millis()).max(0) as f64 / 1000.0);
    }

    /// A message was given up.
    pub(crate) fn dead_lettered(&self, code: Code) {
        self.dead_letters.get_or_create(&CodeLabel::of(code)).inc();
    }

    /// How far a consumer is behind.
    pub(crate) fn lag(&self, durable: Durable, lag: u64) {
        self.lag.get_or_create(&StreamLabel { stream: durable.stream().as_str() }).set(lag);
    }

    /// How much of the stream of dead letters is taken.
    pub(crate) fn dead_letter_room(&self, usage: Usage) {
        self.dead_letter_bytes.set(usage.bytes);
        self.dead_letter_limit.set(usage.max_bytes);
    }

    /// A question about a metric was answered, `outcome` being `ok` or a code.
    pub(crate) fn answered(&self, view: &'static str, outcome: &'static str, seconds: f64) {
        self.requests.get_or_create(&QuestionLabel { view, outcome }).inc();
        self.seconds.observe(seconds);
    }

    /// Clients of the live stream now.
    pub(crate) fn clients(&self, clients: usize) {
        self.clients.set(clients as u64);
    }
}
