//! Metric rules over `METRICS`.

use tidemill_bus::{Bus, Error as BusError, Subscription};
use tidemill_domain::SharedClock;
use tidemill_events::{Durable, MetricsUpdate};

use super::reader::Stage;
use crate::{evaluate::metric::MetricRules, state::StepChanges};

/// The rules, and the windows that they look at.
pub(super) struct MetricStage {
    pub(super) rules: MetricRules,
    pub(super) clock: SharedClock,
}

impl Stage for MetricStage {
    type Message = MetricsUpdate;

    /// The server knows where: the stream has no order that the store could name a
    /// place in.
    async fn open(&self, bus: &Bus, durable: Durable) -> Result<Subscription, BusError> {
        bus.subscribe(durable).await
    }

    fn evaluate(&mut self, updates: Vec<Option<MetricsUpdate>>) -> StepChanges {
        let updates: Vec<MetricsUpdate> = updates.into_iter().flatten().collect();
        self.rules.apply(&updates, self.clock.now())
    }
}
