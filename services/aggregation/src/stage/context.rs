//! What the consumers of one process share.

use std::sync::Arc;

use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::Partition;
use tidemill_metrics_store::InfluxStore;
use tidemill_service::{CeilingConfig, Conditions, Context};

use crate::{config::Windows, store::Store, telemetry::Telemetry};

pub(crate) struct ConsumerContext {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics_store: Option<InfluxStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) windows: Arc<Windows>,
    pub(crate) ceiling: CeilingConfig,
    pub(crate) telemetry: Telemetry,
    /// Why partitions cannot go on.
    pub(crate) conditions: Conditions<Partition>,
    /// Which of them miss batches.
    pub(crate) gaps: Conditions<Partition>,
}
