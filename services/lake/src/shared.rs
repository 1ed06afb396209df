//! What all units work with.

use std::sync::Arc;

use tidemill_bus::Bus;
use tidemill_domain::{Partition, SharedClock};
use tidemill_lake_tables::{Lake, TableProperties};
use tidemill_lateness::EventTimeRules;
use tidemill_service::{Breaker, Conditions};

use crate::{
    beats::Beats,
    cold::ColdPlace,
    committer::Committers,
    config::{RetentionConfig, UpkeepConfig},
    silver::SilverRules,
    store::Store,
    telemetry::Telemetry,
    threads::WorkThreads,
    unit::LakeUnit,
};

/// Made once, when the service starts.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) nats: Breaker,
    pub(crate) store: Store,
    pub(crate) store_breaker: Breaker,
    pub(crate) lake: Lake,
    pub(crate) properties: TableProperties,
    pub(crate) upkeep: UpkeepConfig,
    pub(crate) retention: RetentionConfig,
    pub(crate) cold: Option<ColdPlace>,
    /// The tables of gold.
    pub(crate) gold_paths: Vec<String>,
    pub(crate) clock: SharedClock,
    pub(crate) committers: Committers,
    /// What is done to tables beside commits.
    pub(crate) threads: WorkThreads,
    /// What makes rows of silver: by rules, which may be slow.
    pub(crate) row_threads: WorkThreads,
    pub(crate) telemetry: Telemetry,
    pub(crate) beats: Beats,
    /// Bytes of rows that a unit may gather.
    pub(crate) buffer: usize,
    pub(crate) rules: EventTimeRules,
    /// What is asked of events on their way into silver.
    pub(crate) silver_rules: Arc<SilverRules>,
    /// Why units cannot go on.
    pub(crate) units: Conditions<LakeUnit>,
    /// Which partitions miss batches.
    pub(crate) gaps: Conditions<Partition>,
}
