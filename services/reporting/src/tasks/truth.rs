//! Looks every second whether all that was received is counted, and keeps how far
//! the numbers are true: also while nothing comes, when no fold says so.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_events::Durable;
use tidemill_store::answered;
use tokio::time::{MissedTickBehavior, interval};

use crate::{error::Error, state::Reporting};

const INTERVAL: Duration = Duration::from_secs(1);
/// What another replica has stored within this is not stored again.
const FRESH_MILLIS: i64 = 900;

/// Looks until shutdown.
pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = async {
            ticks.tick().await;
            look(&reporting).await
        };
        tokio::select! {
            looked = looked => if let Err(error) = looked {
                // What was true stays so; that it goes on is not known.
                tracing::debug!(%error, "it is not known whether all is counted");
            },
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn look(reporting: &Reporting) -> Result<(), Error> {
    // Taken first: what is read up after it was read up then.
    let now = reporting.now();
    for durable in [Durable::ReportingRaw, Durable::ReportingMetrics] {
        if reporting.bus.lag(durable).await? > 0 {
            return Ok(());
        }
    }
    // From the store: another replica may have folded what is not known here yet.
    let standing = answered(reporting.store.standing()).await?;
    let mut truth = standing.truth;
    if truth.as_of.is_none_or(|as_of| as_of < now.plus_millis(-FRESH_MILLIS)) {
        truth.raise(standing.watermarks.truth_at(now));
        if truth != standing.truth {
            answered(reporting.store.raise_truth(truth)).await?;
        }
    }
    reporting.truth_stored(truth);
    Ok(())
}
