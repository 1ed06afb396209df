//! Forgets dead letters that their stream has forgotten, the totals of retired generations, and
//! old ones that the lake has too. Every replica does: the second finds nothing left.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_events::StreamName;
use tidemill_store::{Error, answered};
use tokio::time::{MissedTickBehavior, interval};

use crate::{config::KeptTotalsConfig, state::Reporting};

const INTERVAL: Duration = Duration::from_secs(3600);
/// How long the audit of dead letters is kept.
const ACTIONS_KEPT_DAYS: i64 = 400;
/// How long a total that differs is remembered, if nothing says that it is the same by now.
const DRIFT_KEPT_DAYS: i64 = 90;
const DAY_MILLIS: i64 = 24 * 3_600_000;

pub(super) async fn run(reporting: Arc<Reporting>, retention: KeptTotalsConfig) -> Result<(), Infallible> {
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
        Leftovers::RetiredGenerations.delete(&reporting).await;
        if let Err(error) = give_up(&reporting, retention).await {
            tracing::warn!(%error, "old totals could not be given up; trying again in an hour");
        }
        // Whatever the setting is by now: what was given up is not read any more.
        Leftovers::OldTotals.delete(&reporting).await;
        let (letters, actions) = (now.plus_millis(-kept), now.plus_millis(-ACTIONS_KEPT_DAYS * DAY_MILLIS));
        if let Err(error) = reporting.store.forget_dead_letters(letters, actions).await {
            tracing::warn!(%error, "old dead letters could not be forgotten; trying again in an hour");
        }
    }
}

/// Gives old totals up that the lake has too.
async fn give_up(reporting: &Reporting, retention: KeptTotalsConfig) -> Result<(), Error> {
    let Some(newest) = answered(reporting.store.newest_view()).await? else { return Ok(()) };
    // A clock that is wrong and ahead would take away what never comes back: the lake's has to agree.
    let Some(since) = retention.since(reporting.now().min(newest)) else { return Ok(()) };
    let given_up = answered(reporting.store.keep_since(since)).await?;
    if !given_up.is_empty() {
        tracing::info!(%since, versions = given_up.len(), "windows that start earlier are kept no longer");
    }
    Ok(())
}

/// What is gone for everybody, and yet to be deleted.
#[derive(Debug, Clone, Copy)]
enum Leftovers {
    RetiredGenerations,
    OldTotals,
}

impl Leftovers {
    /// Deletes it bit by bit, so that folds come in between.
    async fn delete(self, reporting: &Reporting) {
        loop {
            let deleted = match self {
                Self::RetiredGenerations => reporting.store.forget_retired().await,
                Self::OldTotals => reporting.store.forget_unkept().await,
            };
            match deleted {
                Ok(true) if !reporting.context.shutdown.is_cancelled() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, leftovers = ?self, "they could not be deleted; trying again in an hour");
                    return;
                }
            }
        }
    }
}
