//! Forgets dead letters that their stream has forgotten, and the totals of retired
//! generations. Every replica does: the second finds nothing left.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_events::StreamName;
use tokio::time::{MissedTickBehavior, interval};

use crate::state::Reporting;

const INTERVAL: Duration = Duration::from_secs(3600);
/// How long the audit of dead letters is kept.
const ACTIONS_KEPT_DAYS: i64 = 400;
/// How long a total that differs is remembered, if nothing says that it is the same by now.
const DRIFT_KEPT_DAYS: i64 = 90;
const DAY_MILLIS: i64 = 24 * 3_600_000;

pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let kept = i64::try_from(StreamName::Dlq.max_age().as_millis()).unwrap_or(i64::MAX);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        let now = reporting.now();
        if let Err(error) = reporting.store.forget_drift(now.plus_millis(-DRIFT_KEPT_DAYS * DAY_MILLIS)).await {
            tracing::warn!(%error, "old drift could not be forgotten; trying again in an hour");
        }
        match reporting.store.retire_cooled(now).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::info!(generations = gone.join(", "), "generations that were replaced are retired"),
            Err(error) => tracing::warn!(%error, "generations could not be retired; trying again in an hour"),
        }
        forget_generations(&reporting).await;
        let (letters, actions) = (now.plus_millis(-kept), now.plus_millis(-ACTIONS_KEPT_DAYS * DAY_MILLIS));
        if let Err(error) = reporting.store.forget_dead_letters(letters, actions).await {
            tracing::warn!(%error, "old dead letters could not be forgotten; trying again in an hour");
        }
    }
}

/// Deletes what retired generations have left, bit by bit, so that folds come in between.
async fn forget_generations(reporting: &Reporting) {
    loop {
        match reporting.store.forget_retired().await {
            Ok(true) if !reporting.context.shutdown.is_cancelled() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "retired generations could not be forgotten; trying again in an hour");
                return;
            }
        }
    }
}
