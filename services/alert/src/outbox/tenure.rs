//! The outbox in the hands of this replica.

use std::{sync::Arc, time::Duration};

use tidemill_ownership::Lease;

use crate::{app::App, error::Error, unit::AlertUnit};

/// How often the store is read while this replica records every alert: a call
/// tells of each.
const TICK: Duration = Duration::from_secs(5);
/// How often it is read while other replicas record alerts, of which no call
/// tells.
const POLL: Duration = Duration::from_millis(200);

/// What both tasks work with, for as long as this replica owns the outbox.
pub(super) struct Tenure {
    pub(super) app: Arc<App>,
    pub(super) lease: Lease<AlertUnit>,
}

impl Tenure {
    /// Waits until the outbox is to be given back.
    pub(super) async fn stopped(&self) -> Error {
        self.lease.stop().cancelled().await;
        Error::Stopped
    }

    /// When to look again.
    pub(super) fn tick(&self) -> Duration {
        let is_alone = AlertUnit::ALL.into_iter().all(|unit| self.app.owns(unit));
        if is_alone { TICK } else { POLL }
    }
}
