//! What the service tells about itself.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tidemill_domain::{Code, Partition};
use tidemill_events::{DeadLetter, EnrichedBatch, TraceParent};
use tidemill_service::telemetry::{CodeLabel, OutcomeLabel, PartitionLabel};
use tidemill_service::{Context, Registry, trace};
use tidemill_stage::Failure;
use tokio::time::{MissedTickBehavior, interval};
use tracing::Span;

use crate::{
    error::Error,
    fold::{books::EventOutcomes, size::Size},
    store::{Store, StoredRows},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

/// The service's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    events: Family<OutcomeLabel, Counter>,
    repeated: Counter,
    dead_letters: Family<CodeLabel, Counter>,
    failures: Family<CodeLabel, Counter>,
    asked_again: Counter,
    refused_points: Counter,
    tell_seconds: Histogram,
    chunk_batches: Histogram,
    checkpoint_seconds: Histogram,
    floor: Family<PartitionLabel, Gauge>,
    lag: Family<PartitionLabel, Gauge>,
    memory: MemoryGauges,
    stored: Family<WhatLabel, Gauge>,
}

/// What each partition holds in memory.
#[derive(Debug, Clone, Default)]
struct MemoryGauges {
    cells: Family<PartitionLabel, Gauge>,
    values: Family<PartitionLabel, Gauge>,
    books: Family<PartitionLabel, Gauge>,
    sources: Family<PartitionLabel, Gauge>,
    bytes: Family<PartitionLabel, Gauge>,
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Telemetry {
    pub(crate) fn register(registry: &Registry) -> Self {
        let telemetry = Self {
            events: Family::default(),
            repeated: Counter::default(),
            dead_letters: Family::default(),
            failures: Family::default(),
            asked_again: Counter::default(),
            refused_points: Counter::default(),
            tell_seconds: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0]),
            chunk_batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
            checkpoint_seconds: Histogram::new([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]),
            floor: Family::default(),
            lag: Family::default(),
            memory: MemoryGauges::default(),
            stored: Family::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_aggregation");
            registry.register("events", "Events by outcome", telemetry.events.clone());
            registry.register("repeated", "Duplicates by their business key", telemetry.repeated.clone());
            registry.register("dead_letters", "Events that cannot be counted, by code", telemetry.dead_letters.clone());
            registry.register("failures", "Failures of a partition's consumer by code", telemetry.failures.clone());
            registry.register("asked_again", "Requests for batches that are missing", telemetry.asked_again.clone());
            registry.register("refused_points", "Points that InfluxDB refused", telemetry.refused_points.clone());
            registry.register(
                "tell_seconds",
                "From a snapshot to the last of its messages in METRICS; it is not in the store yet",
                telemetry.tell_seconds.clone(),
            );
            registry.register("chunk_batches", "Batches between two checkpoints", telemetry.chunk_batches.clone());
            registry.register(
                "checkpoint_seconds",
                "From what was told to its checkpoint in the store; the stream goes on meanwhile",
                telemetry.checkpoint_seconds.clone(),
            );
            registry.register("floor", "RAW sequence that is in the store", telemetry.floor.clone());
            registry.register("consumer_lag", "Batches not yet acknowledged", telemetry.lag.clone());
            let MemoryGauges { cells, values, books, sources, bytes } = &telemetry.memory;
            registry.register("cells_in_memory", "Window totals in memory", cells.clone());
            registry.register("distinct_values_in_memory", "Values of distinct counts in memory", values.clone());
            registry.register("books_in_memory", "Books in memory, by source and hour", books.clone());
            registry.register("sources_in_memory", "Sources with a watermark", sources.clone());
            registry.register("state_bytes", "State in memory, estimated", bytes.clone());
            registry.register("stored_rows", "State in the store, of all partitions", telemetry.stored.clone());
        });
        telemetry
    }

    pub(crate) fn counted(&self, outcomes: EventOutcomes) {
        let EventOutcomes { counted, late, duplicate, repeated } = outcomes;
        self.repeated.inc_by(repeated);
        for (outcome, count) in [("counted", counted), ("late", late), ("duplicate", duplicate)] {
            self.events.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
    }

    pub(crate) fn dead_letter(&self, letter: &DeadLetter) {
        let code = letter.code.parse().unwrap_or(Code::MalformedEvent);
        self.dead_letters.get_or_create(&CodeLabel::of(code)).inc();
        tracing::warn!(code = letter.code, sequence = letter.sequence, "dead letter");
    }

    pub(crate) fn told(&self, took: Duration) {
        self.tell_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn checkpointed(&self, partition: Partition, floor: u64, batches: usize, took: Duration) {
        self.chunk_batches.observe(batches as f64);
        self.checkpoint_seconds.observe(took.as_secs_f64());
        self.floor.get_or_create(&PartitionLabel::of(partition)).set(floor.cast_signed());
    }

    pub(crate) fn size(&self, partition: Partition, size: Size) {
        let label = PartitionLabel::of(partition);
        let MemoryGauges { cells, values, books, sources, bytes } = &self.memory;
        cells.get_or_create(&label).set(gauge(size.cells));
        values.get_or_create(&label).set(gauge(size.values));
        books.get_or_create(&label).set(gauge(size.books));
        sources.get_or_create(&label).set(gauge(size.sources));
        bytes.get_or_create(&label).set(gauge(size.bytes()));
    }

    /// `None` where another replica owns it, and tells.
    pub(crate) fn lag(&self, partition: Partition, waiting: Option<u64>) {
        let label = PartitionLabel::of(partition);
        match waiting {
            Some(waiting) => {
                self.lag.get_or_create(&label).set(waiting.cast_signed());
            }
            None => drop(self.lag.remove(&label)),
        }
    }

    /// The partition is another replica's business now.
    pub(crate) fn forget(&self, partition: Partition) {
        let label = PartitionLabel::of(partition);
        let MemoryGauges { cells, values, books, sources, bytes } = &self.memory;
        for family in [cells, values, books, sources, bytes, &self.floor, &self.lag] {
            family.remove(&label);
        }
    }

    pub(crate) fn failed(&self, partition: Partition, error: &Error) {
        self.failures.get_or_create(&CodeLabel::of(error.code())).inc();
        tracing::warn!(%partition, code = error.code().as_str(), %error, "the partition starts over from its checkpoint");
    }

    pub(crate) fn asked_again(&self, partition: Partition, after: u64) {
        self.asked_again.inc();
        tracing::warn!(%partition, after, "batches are missing; asking enrichment for them");
    }

    pub(crate) fn points_refused(&self, points: usize, reason: &str) {
        self.refused_points.inc_by(points as u64);
        tracing::error!(points, reason, "the metrics store refused points; totals are not affected");
    }
}

/// Asks the store every minute how much it holds.
pub(crate) async fn measure(
    context: Context,
    store: Store,
    telemetry: Telemetry,
) -> Result<(), std::convert::Infallible> {
    let mut ticks = interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        if let Ok(StoredRows { cells, values, books, sources }) = store.size().await {
            for (what, rows) in [("cells", cells), ("distinct_values", values), ("books", books), ("sources", sources)]
            {
                telemetry.stored.get_or_create(&WhatLabel { what }).set(rows.cast_signed());
            }
        }
    }
}

/// The span of a batch; it links to the events in it that are traced.
pub(crate) fn batch_span(batch: &EnrichedBatch) -> Span {
    let Some(parent) = batch.trace.filter(|trace| trace.is_sampled()) else { return Span::none() };
    let span = tracing::info_span!(
        "aggregate batch",
        otel.kind = "consumer",
        trace_id = tracing::field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = "ENRICHED",
        messaging.destination.partition.id = %batch.partition,
        messaging.batch.message_count = batch.count,
        tidemill.raw_seq = batch.raw_seq,
    );
    trace::continue_trace(&span, parent);
    span
}

/// The span of one traced event in a batch, in the event's own trace.
pub(crate) fn event_span(event: TraceParent, batch: &EnrichedBatch, batch_span: &Span) -> Span {
    let span = tracing::info_span!(
        "aggregate",
        otel.kind = "consumer",
        trace_id = tracing::field::Empty,
        messaging.system = "nats",
        messaging.operation.type = "process",
        messaging.destination.name = "ENRICHED",
        messaging.destination.partition.id = %batch.partition,
        tidemill.raw_seq = batch.raw_seq,
    );
    trace::continue_trace(&span, event);
    if !batch_span.is_none() {
        trace::link(batch_span, event);
    }
    span
}
