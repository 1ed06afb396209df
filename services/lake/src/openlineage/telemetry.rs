//! What the way to the catalogue tells about itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
};
use tidemill_service::Registry;

/// Why nobody took an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum DropReason {
    /// Too many wait already.
    Full,
    /// It was refused for good.
    Refused,
    /// The address did not answer, or said that it cannot now.
    Away,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabel {
    reason: DropReason,
}

/// Events that were taken, and those that were not.
#[derive(Debug, Clone, Default)]
pub(super) struct LineageTelemetry {
    sent: Counter,
    dropped: Family<DropLabel, Counter>,
    /// Whether the log says already that events are dropped.
    is_told: Arc<AtomicBool>,
}

impl LineageTelemetry {
    pub(super) fn register(registry: &Registry) -> Self {
        let telemetry = Self::default();
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_lake_openlineage");
            registry.register("sent", "Run events that the catalogue has taken", telemetry.sent.clone());
            registry.register("dropped", "Run events that nobody took, by reason", telemetry.dropped.clone());
        });
        telemetry
    }

    pub(super) fn sent(&self) {
        self.sent.inc();
        if self.is_told.swap(false, Ordering::Relaxed) {
            tracing::info!("run events of OpenLineage are taken again");
        }
    }

    /// The first of a row is in the log; the metric has all.
    pub(super) fn dropped(&self, reason: DropReason, detail: &str) {
        self.dropped.get_or_create(&DropLabel { reason }).inc();
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(?reason, detail, "run events of OpenLineage are dropped; the metric counts them");
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, [u64; 3]) {
        let of = |reason| self.dropped.get_or_create(&DropLabel { reason }).get();
        (self.sent.get(), [of(DropReason::Full), of(DropReason::Refused), of(DropReason::Away)])
    }
}
