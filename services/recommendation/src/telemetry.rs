//! What the service tells of itself. Labels are bounded.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};
use tidemill_domain::Partition;
use tidemill_service::{
    Registry,
    telemetry::{OutcomeLabel, PartitionLabel},
};
use tidemill_stage::Failure;

use crate::{error::Error, measure::Cases};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListLabel {
    list: &'static str,
}

/// What became of the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReadCounts {
    pub(crate) learnt: u64,
    pub(crate) duplicate: u64,
    /// Of a type that is not learnt from, or without who or what.
    pub(crate) unconcerned: u64,
    /// No event; aggregation accounts for it.
    pub(crate) unreadable: u64,
}

/// The service's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    events: Family<OutcomeLabel, Counter>,
    floors: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    lag: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    early: Counter,
    failures: Counter,
    pages: Counter,
    profiles: Counter,
    erasures: Counter,
    predictions: Counter,
    sessions: Gauge<u64, AtomicU64>,
    items: Gauge<u64, AtomicU64>,
    visitors: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    answers: Family<ListLabel, Histogram, fn() -> Histogram>,
}

impl Telemetry {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 2.0, 14));
        let all = Self {
            events: Family::default(),
            floors: Family::default(),
            lag: Family::default(),
            early: Counter::default(),
            failures: Counter::default(),
            pages: Counter::default(),
            profiles: Counter::default(),
            erasures: Counter::default(),
            predictions: Counter::default(),
            sessions: Gauge::default(),
            items: Gauge::default(),
            visitors: Gauge::default(),
            bytes: Gauge::default(),
            answers: Family::new_with_constructor(seconds),
        };
        // Before anything has come it is 0, and not unknown.
        all.count(ReadCounts::default());
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_recommendation");
            registry.register("events", "Events read by this replica, by what became of them", all.events.clone());
            registry.register("learnt_raw_sequence", "The last batch that is learnt", all.floors.clone());
            registry.register("consumer_lag", "Messages yet to be kept, of own partitions", all.lag.clone());
            registry.register(
                "early_batches",
                "Batches passed over until the one before them comes",
                all.early.clone(),
            );
            registry.register(
                "stage_failures",
                "Failures that a partition was opened afresh after",
                all.failures.clone(),
            );
            registry.register("pages_written", "Pages of the index that were stored", all.pages.clone());
            registry.register("profiles_published", "Profiles that were published", all.profiles.clone());
            registry.register("erasures", "Visitors that this replica has forgotten", all.erasures.clone());
            registry.register(
                "predictions",
                "Clicks that were predicted before they were learnt, and told of",
                all.predictions.clone(),
            );
            registry.register("sessions", "Sessions in the index", all.sessions.clone());
            registry.register("items", "Items in the index", all.items.clone());
            registry.register("visitors", "Visitors in the index", all.visitors.clone());
            registry.register("index_bytes", "Memory that the index takes, about", all.bytes.clone());
            registry.register("answer_seconds", "Time to make an answer, by list", all.answers.clone());
        });
        all
    }

    /// A batch was learnt.
    pub(crate) fn learnt(&self, partition: Partition, raw_seq: u64, counts: ReadCounts) {
        self.count(counts);
        self.floors.get_or_create(&PartitionLabel::of(partition)).set(raw_seq);
    }

    fn count(&self, counts: ReadCounts) {
        let ReadCounts { learnt, duplicate, unconcerned, unreadable } = counts;
        for (outcome, count) in
            [("learnt", learnt), ("duplicate", duplicate), ("unconcerned", unconcerned), ("unreadable", unreadable)]
        {
            self.events.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        }
    }

    /// How many messages wait to be kept; `None` where another replica keeps the partition,
    /// and tells.
    pub(crate) fn lag(&self, partition: Partition, waiting: Option<u64>) {
        let label = PartitionLabel::of(partition);
        match waiting {
            Some(waiting) => {
                self.lag.get_or_create(&label).set(waiting);
            }
            None => drop(self.lag.remove(&label)),
        }
    }

    /// The partition is another replica's.
    pub(crate) fn forget(&self, partition: Partition) {
        self.lag.remove(&PartitionLabel::of(partition));
    }

    /// A batch came before its predecessor.
    pub(crate) fn early(&self) {
        self.early.inc();
    }

    /// A partition is opened afresh after this.
    pub(crate) fn failed(&self, partition: Partition, error: &Error) {
        self.failures.inc();
        tracing::warn!(%partition, code = error.code().as_str(), %error, "the partition is opened afresh");
    }

    /// Batches behind a place are missing, and are asked for.
    pub(crate) fn asked_again(&self, partition: Partition, after: u64) {
        tracing::warn!(%partition, after, "batches are missing; enrichment is asked for them");
    }

    /// Pages were stored.
    pub(crate) fn pages(&self, partition: Partition, at: u64, pages: usize) {
        self.pages.inc_by(pages as u64);
        tracing::debug!(%partition, at, pages, "the index is stored");
    }

    /// A profile was published.
    pub(crate) fn published(&self) {
        self.profiles.inc();
    }

    /// Visitors were forgotten.
    pub(crate) fn erased(&self, visitors: usize) {
        self.erasures.inc_by(visitors as u64);
    }

    /// Predictions were told of.
    pub(crate) fn evaluated(&self, cases: Cases) {
        self.predictions.inc_by(cases.cases);
    }

    /// How large the index is.
    pub(crate) fn size(&self, index: &tidemill_recommender::Index) {
        self.sessions.set(index.session_count() as u64);
        self.items.set(index.item_count() as u64);
        self.visitors.set(index.visitor_count() as u64);
        self.bytes.set(index.bytes() as u64);
    }

    /// An answer was made.
    pub(crate) fn answered(&self, list: &'static str, took: Duration) {
        self.answers.get_or_create(&ListLabel { list }).observe(took.as_secs_f64());
    }
}
