//! From the store to ALERTS.

use std::time::Duration;

use tidemill_events::AlertTransition;
use tidemill_store::answered;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::tenure::Tenure;
use crate::{
    app::App,
    dependencies::{Dependencies, until_done},
    error::Error,
};

/// Transitions read at once.
const AT_ONCE: i64 = 256;
/// How long an owner that is to give the outbox back may go on publishing what
/// stands in the store.
const PARTING: Duration = Duration::from_secs(2);

/// Publishes transitions until there is nobody who makes more of them.
pub(super) async fn publish(tenure: &Tenure, told: &CancellationToken) -> Result<(), Error> {
    while !told.is_cancelled() {
        publish_all(tenure, told).await?;
        tokio::select! {
            () = tenure.app.wake.publisher.notified() => {}
            () = sleep(tenure.tick()) => {}
            () = told.cancelled() => {}
        }
    }
    // Now or never: whoever owns the outbox next does what is left.
    match timeout(PARTING, publish_rest(tenure)).await {
        Ok(Err(error)) if !error.is_transient() => Err(error),
        _ => Ok(()),
    }
}

async fn publish_all(Tenure { app, lease }: &Tenure, stop: &CancellationToken) -> Result<(), Error> {
    let App { bus, store, dependencies, .. } = &**app;
    let Dependencies { nats, store: breaker, .. } = dependencies;
    loop {
        let transitions = until_done(breaker, stop, || answered(store.unpublished(AT_ONCE))).await?;
        if transitions.is_empty() {
            return Ok(());
        }
        for transition in &transitions {
            if stop.is_cancelled() || !lease.is_held() {
                return Ok(());
            }
            until_done(nats, stop, || bus.publish::<AlertTransition>(transition)).await?;
            until_done(breaker, stop, || answered(store.published(transition))).await?;
        }
    }
}

async fn publish_rest(Tenure { app, lease }: &Tenure) -> Result<(), Error> {
    loop {
        let transitions = app.store.unpublished(AT_ONCE).await?;
        if transitions.is_empty() {
            return Ok(());
        }
        for transition in &transitions {
            if !lease.is_held() {
                return Ok(());
            }
            app.bus.publish::<AlertTransition>(transition).await?;
            app.store.published(transition).await?;
        }
    }
}
