//! What a server tells of its connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tokio::time::Instant;

use super::{patience::Overdue, places::NoPlace};
use crate::Registry;

/// At most one line of log in this time, however many connections it tells of.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Counts the open connections, and those that were refused or ended, by
/// reason.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionMetrics {
    connections: Gauge<i64, AtomicI64>,
    refused: Family<Reason, Counter>,
    ended: Family<Reason, Counter>,
    accept_errors: Counter,
    quiet: Arc<Quiet>,
}

/// What was not told since the last line of log.
#[derive(Debug, Default)]
struct Quiet {
    told: Mutex<Option<Instant>>,
    untold: AtomicU64,
}

impl Quiet {
    /// How many connections there are to tell of, if it is time to.
    fn is_over(&self) -> Option<u64> {
        self.untold.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < QUIET) {
            return None;
        }
        *told = Some(Instant::now());
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

/// Counts a connection for as long as it is open.
pub(super) struct Open(Gauge<i64, AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            connections: Gauge::default(),
            refused: Family::default(),
            ended: Family::default(),
            accept_errors: Counter::default(),
            quiet: Arc::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_http");
            registry.register("connections", "Connections that are open", metrics.connections.clone());
            registry.register(
                "connections_refused",
                "Connections closed at once, because all, or all of one address, were taken",
                metrics.refused.clone(),
            );
            registry.register(
                "connections_ended",
                "Connections whose client was waited for too long, by what it owed",
                metrics.ended.clone(),
            );
            registry.register(
                "accept_errors",
                "Connections that could not be accepted, for instance for want of a file descriptor",
                metrics.accept_errors.clone(),
            );
        });
        metrics
    }

    pub(super) fn open(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }

    pub(super) fn refused(&self, refusal: NoPlace, address: SocketAddr) {
        let reason = refusal.as_str();
        self.refused.get_or_create(&Reason { reason }).inc();
        if let Some(times) = self.quiet.is_over() {
            tracing::warn!(reason, %address, times, "connections are refused: too many");
        }
    }

    pub(super) fn ended(&self, overdue: Overdue) {
        self.ended.get_or_create(&Reason { reason: overdue.as_str() }).inc();
    }

    pub(super) fn not_accepted(&self, error: &io::Error) {
        self.accept_errors.inc();
        if let Some(times) = self.quiet.is_over() {
            tracing::warn!(%error, times, "connections cannot be accepted");
        }
    }
}
