//! What is told of batch views.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};
use tidemill_domain::Timestamp;
use tidemill_service::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MetricLabel {
    metric: String,
}

/// Metrics of batch views, and of how the stream differs from them.
#[derive(Debug, Clone)]
pub(crate) struct DriftTelemetry {
    cells: Family<MetricLabel, Gauge<u64, AtomicU64>>,
    view_time: Family<MetricLabel, Gauge>,
}

impl DriftTelemetry {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Self {
        let telemetry = Self { cells: Family::default(), view_time: Family::default() };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_reporting");
            registry.register(
                "drift_cells",
                "Totals of which the stream and the batch view say something else, by metric",
                telemetry.cells.clone(),
            );
            registry.register(
                "batch_view_time_seconds",
                "When the newest batch view of a metric was computed, as Unix time",
                telemetry.view_time.clone(),
            );
        });
        telemetry
    }

    /// A metric has a view, and so many of its totals differ from it.
    pub(crate) fn seen(&self, metric: &str, differ: u64, computed_at: Timestamp) {
        let label = MetricLabel { metric: metric.into() };
        self.cells.get_or_create(&label).set(differ);
        self.view_time.get_or_create(&label).set(computed_at.millis() / 1000);
    }
}
