//! What the service tells of itself: metrics, spans and the log lines that
//! belong to them. Labels are bounded: rules come from files.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tidemill_domain::{Code, Partition};
use tidemill_events::{AlertTransition, StreamName, TraceParent};
use tidemill_service::telemetry::CodeLabel;
use tidemill_service::{Registry, trace};
use tidemill_stage::Failure;
use tracing::{Span, field, info_span};

use crate::{
    alert::{FiredAlert, Notification},
    error::Error,
    rules::RuleMeta,
    unit::AlertUnit,
};

/// Whether rules looked at an event, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Relevance {
    /// A rule looked at it.
    Evaluated,
    /// No rule looks at its type.
    Unconcerned,
    /// It had been seen before.
    Duplicate,
    /// Its time is too far from when it was taken in.
    OutOfTime,
    /// It is no event; aggregation accounts for it.
    Unreadable,
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum EvaluationVerdict {
    Fired,
    Quiet,
    /// What the condition looks for is not there, or of another type.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RelevanceLabel {
    outcome: Relevance,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvaluationLabel {
    rule: String,
    verdict: EvaluationVerdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotificationLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLabel {
    consumer: &'static str,
}

/// The service's metrics, and the events behind them.
#[derive(Debug)]
pub(crate) struct Telemetry {
    events: Family<RelevanceLabel, Counter>,
    evaluations: Family<EvaluationLabel, Counter>,
    alerts: Family<RuleLabel, Counter>,
    notifications: Family<NotificationLabel, Counter>,
    attempts_failed: Counter,
    dead_letters: Family<CodeLabel, Counter>,
    early_batches: Counter,
    foreign_cells: Counter,
    lag: Family<ConsumerLabel, Gauge>,
    chunk: Histogram,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            events: Family::default(),
            evaluations: Family::default(),
            alerts: Family::default(),
            notifications: Family::default(),
            attempts_failed: Counter::default(),
            dead_letters: Family::default(),
            early_batches: Counter::default(),
            foreign_cells: Counter::default(),
            lag: Family::default(),
            chunk: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
        }
    }
}

impl Telemetry {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Self {
        let all = Self::default();
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_alert");
            registry.register("events", "Events read, by what became of them here", all.events.clone());
            registry.register("evaluations", "Evaluations of rules, by what they came to", all.evaluations.clone());
            registry.register("alerts", "Alerts that fired", all.alerts.clone());
            registry.register("notifications", "Alerts whose notification is settled", all.notifications.clone());
            registry.register(
                "notification_attempts_failed",
                "Calls of the webhook to be repeated",
                all.attempts_failed.clone(),
            );
            registry.register("dead_letters", "Messages given up, by code", all.dead_letters.clone());
            registry.register(
                "early_batches",
                "Batches passed over until the one before them comes",
                all.early_batches.clone(),
            );
            registry.register(
                "foreign_cells",
                "Totals of another version of a rule's metric",
                all.foreign_cells.clone(),
            );
            registry.register("consumer_lag", "Messages yet to be acknowledged", all.lag.clone());
            registry.register("chunk_messages", "Messages handled in one transaction", all.chunk.clone());
        });
        all
    }

    /// `count` events had this outcome.
    pub(crate) fn events(&self, outcome: Relevance, count: u64) {
        self.events.get_or_create(&RelevanceLabel { outcome }).inc_by(count);
    }

    /// A step of this many messages begins.
    pub(crate) fn chunk(&self, messages: usize) {
        self.chunk.observe(messages as f64);
    }

    /// A batch was passed over: the one before it has not come.
    pub(crate) fn early_batch(&self) {
        self.early_batches.inc();
    }

    /// Enrichment is asked for what is missing behind `after`.
    pub(crate) fn gap(&self, partition: Partition, after: u64) {
        tracing::warn!(%partition, after, "batches are missing; asking enrichment for them");
    }

    /// A consumer cannot go on.
    pub(crate) fn consumer_failed(&self, consumer: &str, error: &Error) {
        tracing::warn!(consumer, code = error.code().as_str(), %error, "a consumer stopped");
    }

    /// A unit is opened afresh.
    pub(crate) fn reopened(&self, unit: AlertUnit, error: &Error) {
        tracing::warn!(%unit, code = error.code().as_str(), %error, "opening a unit afresh");
    }

    /// Aggregation has another definition of the metric than this service.
    pub(crate) fn foreign_cell(&self) {
        self.foreign_cells.inc();
    }

    /// A unit's consumers are this far behind; `None` where another replica
    /// owns it, and tells.
    pub(crate) fn lag(&self, unit: AlertUnit, messages: Option<u64>) {
        let label = ConsumerLabel { consumer: unit.as_str() };
        match messages {
            Some(messages) => {
                self.lag.get_or_create(&label).set(i64::try_from(messages).unwrap_or(i64::MAX));
            }
            None => drop(self.lag.remove(&label)),
        }
    }

    /// An alert was recorded for the first time.
    pub(crate) fn fired(&self, alert: &AlertTransition) {
        self.alerts.get_or_create(&RuleLabel { rule: alert.rule.clone() }).inc();
        let trace_id = alert.trace.map(TraceParent::trace_id_hex);
        tracing::info!(rule = alert.rule, alert = %alert.id, trace_id, "an alert fired");
    }

    /// Notifications are settled.
    pub(crate) fn settled(&self, alerts: usize, outcome: Notification, reason: Option<&str>) {
        self.notifications.get_or_create(&NotificationLabel { outcome: outcome.as_str() }).inc_by(alerts as u64);
        if outcome != Notification::Sent {
            tracing::error!(alerts, outcome = outcome.as_str(), reason, "nobody was told of these alerts");
        }
    }

    /// A call of the webhook failed; the webhook may have asked to be left
    /// alone for a time.
    pub(crate) fn attempt_failed(&self, reason: &str, retry_after: Option<Duration>) {
        self.attempts_failed.inc();
        tracing::warn!(reason, retry_after_s = retry_after.map(|wait| wait.as_secs()), "the webhook took no message");
    }

    /// A message was given up.
    pub(crate) fn dead_letter(&self, code: Code, stream: StreamName, sequence: u64, reason: &str) {
        self.dead_letters.get_or_create(&CodeLabel::of(code)).inc();
        tracing::error!(%code, %stream, sequence, reason, "a message was given up");
    }
}

/// A rule being evaluated: a span in the trace of the event behind it, where
/// that is sampled.
pub(crate) struct Evaluation<'r> {
    meta: &'r RuleMeta,
    span: Span,
}

impl<'r> Evaluation<'r> {
    /// Begins with the event's context.
    pub(crate) fn begin(meta: &'r RuleMeta, stream: StreamName, event: Option<TraceParent>) -> Self {
        let Some(parent) = event.filter(|event| event.is_sampled()) else { return Self { meta, span: Span::none() } };
        let span = info_span!(
            "evaluate",
            otel.name = format!("evaluate {}", meta.rule),
            otel.kind = "consumer",
            trace_id = field::Empty,
            messaging.system = "nats",
            messaging.operation.type = "process",
            messaging.destination.name = stream.as_str(),
            tidemill.rule.name = meta.rule,
            tidemill.rule.version = meta.version,
            tidemill.alert.fired = field::Empty,
        );
        trace::continue_trace(&span, parent);
        Self { meta, span }
    }

    /// Ends with what it came to; answers the context for what follows.
    pub(crate) fn end(self, telemetry: &Telemetry, result: &Result<bool, String>) -> Option<TraceParent> {
        let verdict = match result {
            Ok(true) => EvaluationVerdict::Fired,
            Ok(false) => EvaluationVerdict::Quiet,
            Err(reason) => {
                tracing::debug!(rule = self.meta.rule, reason, "a condition could not be evaluated");
                EvaluationVerdict::Failed
            }
        };
        self.span.record("tidemill.alert.fired", verdict == EvaluationVerdict::Fired);
        telemetry.evaluations.get_or_create(&EvaluationLabel { rule: self.meta.rule.clone(), verdict }).inc();
        trace::traceparent_of(&self.span)
    }
}

/// The span of one call of the webhook: in the trace of the first alert it
/// tells of, linked to those of the others.
pub(crate) fn notification_span(alerts: &[FiredAlert], host: &str) -> Span {
    let sampled = |alert: &FiredAlert| alert.parent.filter(|parent| parent.is_sampled());
    let mut parents = alerts.iter().filter_map(sampled);
    let Some(first) = parents.next() else { return Span::none() };
    let span = info_span!(
        "notify",
        otel.name = "notify slack",
        otel.kind = "client",
        otel.status_code = field::Empty,
        trace_id = field::Empty,
        http.request.method = "POST",
        http.response.status_code = field::Empty,
        server.address = host,
        tidemill.alert.count = alerts.len(),
        tidemill.alert.id = alerts.first().map(|alert| field::display(alert.firing.id)),
    );
    trace::continue_trace(&span, first);
    parents.take(32).for_each(|other| trace::link(&span, other));
    span
}
