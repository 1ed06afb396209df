//! What the service says of itself: metrics and spans.

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
use tidemill_domain::{Code, Partition};
use tidemill_events::TraceParent;
use tidemill_service::telemetry::{CodeLabel, OutcomeLabel, PartitionLabel};
use tidemill_service::{Registry, trace};
use tracing::{Span, field};

use crate::{batch::BatchTally, duplicates::MemorySize, event::LogEvent, reference::RecordKind, store::ClaimsOutcome};

/// What became of an event here. Exactly one holds for each.
#[derive(Debug, Clone, Copy)]
enum EnrichmentOutcome {
    /// It went on.
    Enriched,
    /// It went on, marked.
    Duplicate,
    /// It was set aside.
    DeadLettered,
}

impl EnrichmentOutcome {
    fn label(self) -> OutcomeLabel {
        let outcome = match self {
            Self::Enriched => "enriched",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
        };
        OutcomeLabel { outcome }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlagLabel {
    flag: &'static str,
}

/// The service's telemetry.
pub(crate) struct Telemetry {
    events: Family<OutcomeLabel, Counter>,
    repeated: Counter,
    dead_letters: Family<CodeLabel, Counter>,
    quality: Family<FlagLabel, Counter>,
    batch_events: Histogram,
    redelivered: Counter,
    remade: Counter,
    retries: Family<CodeLabel, Counter>,
    lag: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    keys: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    sealed_keys: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    runs: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    filter_bytes: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    horizon: Family<PartitionLabel, Gauge>,
    keys_dropped: Counter,
    reference_version: Gauge<u64, AtomicU64>,
    reference_misses: Family<KindLabel, Counter>,
    claims: Family<OutcomeLabel, Counter>,
}

impl Telemetry {
    pub(crate) fn new(registry: &Registry) -> Self {
        let telemetry = Self {
            events: Family::default(),
            repeated: Counter::default(),
            dead_letters: Family::default(),
            quality: Family::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            redelivered: Counter::default(),
            remade: Counter::default(),
            retries: Family::default(),
            lag: Family::default(),
            keys: Family::default(),
            sealed_keys: Family::default(),
            runs: Family::default(),
            filter_bytes: Family::default(),
            horizon: Family::default(),
            keys_dropped: Counter::default(),
            reference_version: Gauge::default(),
            reference_misses: Family::default(),
            claims: Family::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_enrichment");
            registry.register("events", "Events by outcome", telemetry.events.clone());
            registry.register("repeated", "Duplicates by their business key", telemetry.repeated.clone());
            registry.register("dead_letters", "Dead letters by code", telemetry.dead_letters.clone());
            registry.register("quality_flags", "What was missing in enriched events", telemetry.quality.clone());
            registry.register("batch_events", "Events per batch", telemetry.batch_events.clone());
            registry.register("redelivered", "Batches delivered again that were done", telemetry.redelivered.clone());
            registry.register(
                "remade",
                "Batches made again because ENRICHED or a reader had lost them",
                telemetry.remade.clone(),
            );
            registry.register("retries", "Partitions opened afresh after an error", telemetry.retries.clone());
            registry.register("consumer_lag", "Batches not yet acknowledged", telemetry.lag.clone());
            registry.register("keys", "Keys in memory to tell duplicates", telemetry.keys.clone());
            registry.register("sealed_keys", "Older keys, in the store", telemetry.sealed_keys.clone());
            registry.register("runs", "In how many runs these are", telemetry.runs.clone());
            registry.register("filter_bytes", "Memory of the filters over them", telemetry.filter_bytes.clone());
            registry.register(
                "horizon_seconds",
                "How far back they reach, by the log's clock",
                telemetry.horizon.clone(),
            );
            registry.register("keys_dropped", "Keys forgotten before the horizon", telemetry.keys_dropped.clone());
            registry.register(
                "reference_version",
                "Version of the reference data",
                telemetry.reference_version.clone(),
            );
            registry.register(
                "reference_misses",
                "Look-ups that went to the store",
                telemetry.reference_misses.clone(),
            );
            registry.register("customer_claims", "Customers that events changed, by outcome", telemetry.claims.clone());
        });
        telemetry
    }

    pub(crate) fn batch(&self, tally: &BatchTally) {
        self.batch_events.observe((tally.enriched + tally.duplicate) as f64);
        for (outcome, count) in
            [(EnrichmentOutcome::Enriched, tally.enriched), (EnrichmentOutcome::Duplicate, tally.duplicate)]
        {
            self.events.get_or_create(&outcome.label()).inc_by(count);
        }
        self.repeated.inc_by(tally.repeated);
        for (flag, count) in &tally.quality {
            self.quality.get_or_create(&FlagLabel { flag: flag.as_str() }).inc_by(*count);
        }
    }

    pub(crate) fn dead_letter(&self, code: Code) {
        self.events.get_or_create(&EnrichmentOutcome::DeadLettered.label()).inc();
        self.dead_letters.get_or_create(&CodeLabel::of(code)).inc();
    }

    pub(crate) fn redelivered(&self) {
        self.redelivered.inc();
    }

    pub(crate) fn remade(&self) {
        self.remade.inc();
    }

    pub(crate) fn retry(&self, code: Code) {
        self.retries.get_or_create(&CodeLabel::of(code)).inc();
    }

    /// `None` where another replica owns it, and tells.
    pub(crate) fn lag(&self, partition: Partition, batches: Option<u64>) {
        let label = PartitionLabel::of(partition);
        match batches {
            Some(batches) => {
                self.lag.get_or_create(&label).set(batches);
            }
            None => drop(self.lag.remove(&label)),
        }
    }

    pub(crate) fn remembered(&self, partition: Partition, size: MemorySize, dropped: u64) {
        let label = PartitionLabel::of(partition);
        self.keys.get_or_create(&label).set(size.keys as u64);
        self.sealed_keys.get_or_create(&label).set(size.sealed_keys);
        self.runs.get_or_create(&label).set(size.runs as u64);
        self.filter_bytes.get_or_create(&label).set(size.filter_bytes as u64);
        self.horizon.get_or_create(&label).set(size.span_millis / 1000);
        self.keys_dropped.inc_by(dropped);
    }

    /// The partition is another replica's now.
    pub(crate) fn forget(&self, partition: Partition) {
        let label = PartitionLabel::of(partition);
        self.lag.remove(&label);
        self.keys.remove(&label);
        self.sealed_keys.remove(&label);
        self.runs.remove(&label);
        self.filter_bytes.remove(&label);
        self.horizon.remove(&label);
    }

    pub(crate) fn reference_version(&self, version: u64) {
        self.reference_version.set(version);
    }

    /// What events claimed of customers is stored.
    pub(crate) fn claims(&self, outcome: ClaimsOutcome) {
        let ClaimsOutcome { changed, refused, beyond } = outcome;
        for (outcome, count) in [("changed", changed), ("refused", refused), ("beyond", beyond)] {
            self.claims.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
        if refused + beyond > 0 {
            tracing::warn!(refused, beyond, "what events say of customers is not kept");
        }
    }

    pub(crate) fn reference_misses(&self, kind: RecordKind, count: usize) {
        self.reference_misses.get_or_create(&KindLabel { kind: kind.as_str() }).inc_by(count as u64);
    }
}

/// The spans of a batch's work: one per sampled event, in its own trace, and
/// one of the batch that links to them. They end when this is dropped.
pub(crate) struct Spans {
    batch: Option<Span>,
    _events: Vec<Span>,
}

impl Spans {
    /// Opens them; none where no event is sampled.
    pub(crate) fn open<'a>(
        events: impl ExactSizeIterator<Item = &'a LogEvent<'a>>,
        raw_seq: u64,
        parent: Option<TraceParent>,
    ) -> Self {
        let count = events.len();
        let sampled: Vec<_> = events.filter_map(|event| Some((event, sampled(event)?))).collect();
        if sampled.is_empty() {
            return Self { batch: None, _events: Vec::new() };
        }
        let batch = tracing::info_span!(
            "enrich batch",
            otel.kind = "consumer",
            trace_id = field::Empty,
            messaging.system = "nats",
            messaging.operation.type = "process",
            messaging.destination.name = "RAW",
            messaging.batch.message_count = count,
            messaging.message.id = raw_seq,
        );
        if let Some(parent) = parent {
            trace::continue_trace(&batch, parent);
        }
        let events = sampled
            .into_iter()
            .map(|(event, parent)| {
                trace::link(&batch, parent);
                event_span(event, parent)
            })
            .collect();
        Self { batch: Some(batch), _events: events }
    }

    /// The batch's own context.
    pub(crate) fn traceparent(&self) -> Option<TraceParent> {
        self.batch.as_ref().and_then(trace::traceparent_of)
    }
}

fn sampled(event: &LogEvent<'_>) -> Option<TraceParent> {
    event.trace_context()?.parse().ok().filter(|parent: &TraceParent| parent.is_sampled())
}

fn event_span(event: &LogEvent<'_>, parent: TraceParent) -> Span {
    let span = tracing::info_span!(
        "enrich",
        otel.name = format!("enrich {}", event.kind),
        otel.kind = "consumer",
        trace_id = field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = "RAW",
        cloudevents.event_id = &*event.id,
        cloudevents.event_source = &*event.source,
        cloudevents.event_type = &*event.kind,
    );
    trace::continue_trace(&span, parent);
    span
}
