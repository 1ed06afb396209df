//! What the service tells of itself: metrics, spans and log lines.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};
use tidemill_domain::{Code, Partition};
use tidemill_events::{RawBatch, Redrive, StreamName, TraceParent};
use tidemill_service::telemetry::{CodeLabel, OutcomeLabel};
use tidemill_service::{Caller, Registry, trace};
use tracing::{Span, field::Empty, info_span};

use crate::error::Error;

/// Spans that a batch links to.
const MAX_LINKS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotKeptLabel {
    code: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BacklogLabel {
    stream: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    route: &'static str,
    status: u16,
}

/// The service's metrics.
#[derive(Debug)]
pub(crate) struct Telemetry {
    requests: Family<RequestLabel, Counter>,
    request_seconds: Histogram,
    refusals: Family<CodeLabel, Counter>,
    events: Family<OutcomeLabel, Counter>,
    dead_letters: Family<CodeLabel, Counter>,
    not_kept: Family<NotKeptLabel, Counter>,
    dead_letters_full: Gauge,
    backlog_bytes: Family<BacklogLabel, Gauge>,
    redriven: Family<OutcomeLabel, Counter>,
    measured: Family<OutcomeLabel, Counter>,
    batch_events: Histogram,
    batch_bytes: Histogram,
    publish_seconds: Histogram,
    publish_failures: Counter,
}

impl Telemetry {
    pub(crate) fn new(registry: &Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let telemetry = Self {
            requests: Family::default(),
            request_seconds: seconds(),
            refusals: Family::default(),
            events: Family::default(),
            dead_letters: Family::default(),
            not_kept: Family::default(),
            dead_letters_full: Gauge::default(),
            backlog_bytes: Family::default(),
            redriven: Family::default(),
            measured: Family::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            batch_bytes: Histogram::new(exponential_buckets(256.0, 2.0, 11)),
            publish_seconds: seconds(),
            publish_failures: Counter::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_ingestion");
            registry.register("requests", "Requests by route and status", telemetry.requests.clone());
            registry.register("request_seconds", "Time to answer a request", telemetry.request_seconds.clone());
            registry.register("refusals", "Requests refused as a whole, by code", telemetry.refusals.clone());
            registry.register("events", "Events by outcome", telemetry.events.clone());
            registry.register("dead_letters", "Rejected events that are kept, by code", telemetry.dead_letters.clone());
            registry.register(
                "dead_letters_not_kept",
                "Rejected events that are counted and not kept, by code and reason",
                telemetry.not_kept.clone(),
            );
            registry.register(
                "dead_letters_full",
                "1 while the stream of dead letters takes no rejected events",
                telemetry.dead_letters_full.clone(),
            );
            registry.register(
                "backlog_bytes",
                "Bytes in a stream that the stages on the way to a number have yet to read",
                telemetry.backlog_bytes.clone(),
            );
            registry.register("redriven", "Dead letters sent again, by outcome", telemetry.redriven.clone());
            registry.register("measured", "Events of the suite's own services, by outcome", telemetry.measured.clone());
            registry.register("batch_events", "Events in a batch", telemetry.batch_events.clone());
            registry.register("batch_bytes", "Bytes of a batch, uncompressed", telemetry.batch_bytes.clone());
            registry.register("publish_seconds", "Time to store a batch", telemetry.publish_seconds.clone());
            registry.register("publish_failures", "Failed attempts to publish", telemetry.publish_failures.clone());
        });
        telemetry
    }

    pub(crate) fn answered(&self, route: &'static str, status: StatusCode, took: Duration, span: &Span) {
        self.requests.get_or_create(&RequestLabel { route, status: status.as_u16() }).inc();
        self.request_seconds.observe(took.as_secs_f64());
        // No line is logged in it any more: who reads it now is an exporter.
        if trace::traceparent_of(span).is_some() {
            span.record("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                span.record("otel.status_code", "ERROR");
            }
        }
    }

    /// What the readers of a stream have before them.
    pub(crate) fn backlog(&self, stream: StreamName, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.backlog_bytes.get_or_create(&BacklogLabel { stream: stream.as_str() }).set(bytes);
    }

    /// A request was refused as a whole.
    pub(crate) fn refused(&self, error: &Error) {
        self.refusals.get_or_create(&CodeLabel::of(error.code())).inc();
        tracing::debug!(code = error.code().as_str(), %error, "a request was refused");
    }

    /// Events were validated, and what was accepted is in the log.
    pub(crate) fn taken_in(&self, caller: &Caller, accepted: usize, duplicate: usize, rejected: usize) {
        let count = |outcome, n: usize| self.events.get_or_create(&OutcomeLabel { outcome }).inc_by(n as u64);
        count("accepted", accepted);
        count("duplicate", duplicate);
        count("rejected", rejected);
        tracing::debug!(key = %caller, accepted, duplicate, rejected, "events were taken in");
    }

    /// A dead letter's events were validated once more, and stored.
    pub(crate) fn redriven(&self, request: &Redrive, accepted: usize, rejected: usize) {
        let count = |outcome, n: usize| self.redriven.get_or_create(&OutcomeLabel { outcome }).inc_by(n as u64);
        count("accepted", accepted);
        count("rejected", rejected);
        tracing::info!(letter = request.letter, by = request.by, accepted, rejected, "a dead letter was sent again");
    }

    /// An event of the suite's own was validated, and stored.
    pub(crate) fn measured(&self, accepted: usize, rejected: usize) {
        let count = |outcome, n: usize| self.measured.get_or_create(&OutcomeLabel { outcome }).inc_by(n as u64);
        count("accepted", accepted);
        count("rejected", rejected);
    }

    /// Rejected events are kept.
    pub(crate) fn dead_lettered(&self, code: Code, events: u64) {
        self.dead_letters.get_or_create(&CodeLabel::of(code)).inc_by(events);
    }

    /// Rejected events are counted, and not kept.
    pub(crate) fn not_kept(&self, code: Code, reason: &'static str, events: u64) {
        self.not_kept.get_or_create(&NotKeptLabel { code: code.as_str(), reason }).inc_by(events);
    }

    pub(crate) fn dead_letters_full(&self, full: bool) {
        self.dead_letters_full.set(full.into());
    }

    pub(crate) fn published(&self, batch: &RawBatch, took: Duration) {
        self.batch_events.observe(f64::from(batch.count()));
        self.batch_bytes.observe(batch.lines.len() as f64);
        self.publish_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn publish_failed(&self, error: &tidemill_bus::Error) {
        self.publish_failures.inc();
        tracing::warn!(%error, "a message is not stored");
    }
}

/// The span of a request, in the caller's trace where there is one. Its parent
/// has to be known before it is entered: from then on it is fixed.
pub(crate) fn request_span(route: &'static str, headers: &HeaderMap) -> Span {
    let span = info_span!(
        "request",
        otel.name = format!("POST {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        trace_id = Empty,
        http.request.method = "POST",
        http.route = route,
        http.response.status_code = Empty,
    );
    if let Some(caller) = traceparent(headers) {
        trace::continue_trace(&span, caller);
    }
    span
}

/// The caller's trace context, where it is a valid one.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

/// The span of one traced event: from here on it has a trace of its own.
pub(crate) fn event_span(kind: &str, id: &str, source: &str) -> Span {
    info_span!(
        "ingest",
        otel.name = format!("ingest {kind}"),
        otel.kind = "producer",
        trace_id = Empty,
        messaging.system = "nats",
        messaging.operation.name = "ingest",
        messaging.operation.type = "send",
        messaging.destination.name = "RAW",
        cloudevents.event_id = id,
        cloudevents.event_source = source,
        cloudevents.event_type = kind,
    )
}

/// The span of a batch that holds traced events: in the trace of the first,
/// and linked to the others. A batch without any has none.
pub(crate) fn batch_span(partition: Partition, traces: &[TraceParent], events: u32) -> Span {
    let Some((first, others)) = traces.split_first() else { return Span::none() };
    let span = info_span!(
        "send",
        otel.name = "send RAW",
        otel.kind = "client",
        trace_id = Empty,
        messaging.system = "nats",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = "RAW",
        messaging.destination.partition.id = partition.index(),
        messaging.batch.message_count = events,
    );
    trace::continue_trace(&span, *first);
    others.iter().take(MAX_LINKS).for_each(|other| trace::link(&span, *other));
    span
}
