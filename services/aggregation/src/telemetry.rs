//! What the service tells about itself.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tidemill_bus::Bus;
use tidemill_domain::Partition;
use tidemill_events::{Durable, EnrichedBatch, TraceParent};
use tidemill_service::{Context, Registry, trace};
use tokio::time::{MissedTickBehavior, interval};
use tracing::Span;

use crate::{
    Error,
    state::{Outcomes, PartitionState},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    partition: u16,
}

/// The service's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    events: Family<OutcomeLabel, Counter>,
    failures: Family<CodeLabel, Counter>,
    refused_points: Counter,
    chunk_batches: Histogram,
    cells: Family<PartitionLabel, Gauge>,
    floor: Family<PartitionLabel, Gauge>,
    lag: Family<PartitionLabel, Gauge>,
}

impl Telemetry {
    pub(crate) fn register(registry: &Registry) -> Self {
        let telemetry = Self {
            events: Family::default(),
            failures: Family::default(),
            refused_points: Counter::default(),
            chunk_batches: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            cells: Family::default(),
            floor: Family::default(),
            lag: Family::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_aggregation");
            registry.register("events", "Events by outcome", telemetry.events.clone());
            registry.register("failures", "Failures of a partition's consumer by code", telemetry.failures.clone());
            registry.register("refused_points", "Points that InfluxDB refused", telemetry.refused_points.clone());
            registry.register("chunk_batches", "Batches between two checkpoints", telemetry.chunk_batches.clone());
            registry.register("cells_in_memory", "Window totals in memory", telemetry.cells.clone());
            registry.register("floor", "RAW sequence that is applied", telemetry.floor.clone());
            registry.register("consumer_lag", "Batches not yet acknowledged", telemetry.lag.clone());
        });
        telemetry
    }

    pub(crate) fn counted(&self, outcomes: Outcomes) {
        let Outcomes { counted, late, duplicate } = outcomes;
        for (outcome, count) in [("counted", counted), ("late", late), ("duplicate", duplicate)] {
            self.events.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
    }

    pub(crate) fn applied(&self, partition: Partition, state: &PartitionState, batches: usize) {
        let label = PartitionLabel { partition: partition.index() };
        self.chunk_batches.observe(batches as f64);
        self.cells.get_or_create(&label).set(i64::try_from(state.cells.len()).unwrap_or(i64::MAX));
        self.floor.get_or_create(&label).set(state.floor.cast_signed());
    }

    pub(crate) fn failed(&self, partition: Partition, error: &Error) {
        self.failures.get_or_create(&CodeLabel { code: error.code() }).inc();
        tracing::warn!(%partition, code = error.code(), %error, "the partition starts over from its checkpoint");
    }

    pub(crate) fn points_refused(&self, points: usize, reason: &str) {
        self.refused_points.inc_by(points as u64);
        tracing::error!(points, reason, "the metrics store refused points; totals are not affected");
    }
}

/// Asks the server every five seconds how far behind each partition is.
pub(crate) async fn measure_lag(
    context: Context,
    bus: Bus,
    telemetry: Telemetry,
) -> Result<(), std::convert::Infallible> {
    let mut ticks = interval(Duration::from_secs(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        for partition in bus.partitions().all() {
            if let Ok(lag) = bus.lag(Durable::Aggregation(partition)).await {
                telemetry.lag.get_or_create(&PartitionLabel { partition: partition.index() }).set(lag.cast_signed());
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
