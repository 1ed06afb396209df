//! Metric rules over `METRICS`.

use std::time::Duration;

use tidemill_bus::{Bus, Error as BusError, Subscription};
use tidemill_domain::SharedClock;
use tidemill_events::{Durable, MetricsUpdate};
use tidemill_stage::{LoadPace, LogPlace, OfLog};

use super::reader::Stage;
use crate::{evaluate::metric::MetricRules, state::StepChanges};

/// From one step to the next, at least and at most: each has a transaction, and its
/// messages are acknowledged one by one.
const PACE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// The rules, and the windows that they look at.
pub(super) struct MetricStage {
    pub(super) rules: MetricRules,
    pub(super) clock: SharedClock,
}

impl Stage for MetricStage {
    type Message = MetricsUpdate;

    /// The server knows where: the stream has no order that the store could name a
    /// place in. Totals of another log would not reach as far as those that are known, and
    /// so change nothing.
    async fn open(&self, bus: &Bus, durable: Durable) -> Result<OfLog<Subscription>, BusError> {
        OfLog::open(bus, LogPlace::at(self.rules.reached()), bus.subscribe(durable)).await
    }

    fn pace(&self) -> Option<LoadPace> {
        Some(LoadPace::new(PACE.0, PACE.1))
    }

    fn evaluate(&mut self, updates: Vec<Option<MetricsUpdate>>) -> StepChanges {
        let updates: Vec<MetricsUpdate> = updates.into_iter().flatten().collect();
        self.rules.apply(&updates, self.clock.now())
    }
}
