//! What all parts of the service work with.

use std::sync::{Arc, OnceLock};

use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::Partition;
use tidemill_ownership::Owned;
use tidemill_service::{Conditions, Context};

use crate::{
    alert::Notification, config::Config, dependencies::Dependencies, rules::Rules, store::Store, telemetry::Telemetry,
    unit::AlertUnit, wake::Wake,
};

/// Made once, when the service starts.
pub(crate) struct App {
    pub(crate) context: Context,
    pub(crate) config: Config,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) rules: Rules,
    /// What metric rules look at.
    pub(crate) metrics: Metrics,
    /// What awaits a new alert: to be sent, or nothing without a webhook.
    pub(crate) notification: Notification,
    pub(crate) dependencies: Dependencies,
    pub(crate) wake: Wake,
    /// Which units this replica owns, once that is shared out.
    pub(crate) owned: OnceLock<Owned<AlertUnit>>,
    /// Why units cannot go on.
    pub(crate) units: Conditions<AlertUnit>,
    /// Why consumers cannot go on.
    pub(crate) consumers: Conditions<String>,
    /// Which partitions miss batches.
    pub(crate) gaps: Conditions<Partition>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl App {
    /// Whether this replica owns the unit.
    pub(crate) fn owns(&self, unit: AlertUnit) -> bool {
        self.owned.get().is_some_and(|owned| owned.contains(unit))
    }
}
