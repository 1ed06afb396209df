//! What the service does besides following its streams and answering.

mod drift;
mod health;
mod housekeeping;
mod outbox;
mod publisher;
mod refresh;
mod truth;

use std::sync::Arc;

use tidemill_service::Context;

use crate::{
    config::{DriftConfig, KeptTotalsConfig},
    state::Reporting,
};

/// Says that the read model has not been read, before anybody can ask.
pub(crate) fn announce(context: &Context) {
    context.health.unready(refresh::NAME, "not read yet");
}

/// Starts all of it; it ends on shutdown.
pub(crate) fn spawn(reporting: &Arc<Reporting>, drift: DriftConfig, retention: KeptTotalsConfig) {
    let context = &reporting.context;
    context.spawn(refresh::NAME, refresh::run(reporting.clone()));
    context.spawn("truth", truth::run(reporting.clone()));
    context.spawn("redrive", outbox::run(reporting.clone()));
    context.spawn("publisher", publisher::run(reporting.clone()));
    context.spawn("health", health::run(reporting.clone()));
    context.spawn("drift", drift::run(reporting.clone(), drift));
    context.spawn("housekeeping", housekeeping::run(reporting.clone(), retention));
}
