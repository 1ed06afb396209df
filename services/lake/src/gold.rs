//! Keeps gold up to silver, on a schedule.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_batch_views::{Gold, Refreshed, SqlEngine};
use tidemill_service::{Conditions, Context};

use crate::{openlineage::OpenLineage, refreshes::Refreshes, telemetry::Telemetry};

/// Brings gold up to silver every so often, while that is this replica's work. What a
/// run leaves undone the next one does: a commit says how far it is.
pub(crate) async fn keep(
    context: Context,
    gold: Arc<Gold>,
    engine: Arc<SqlEngine>,
    every: Duration,
    is_ours: impl Fn() -> bool,
    (telemetry, lineage): (Telemetry, OpenLineage),
) -> Result<(), Infallible> {
    let conditions = Conditions::new(&context.health, "gold");
    let stop = context.shutdown.clone();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        if !is_ours() {
            conditions.clear(&"gold");
            continue;
        }
        let (of, with, mut refreshes) = (gold.clone(), engine.clone(), Refreshes::new(lineage.clone()));
        let run = engine.run(async move {
            let done = of.refresh_told(&with, &mut |step| refreshes.step(step)).await;
            refreshes.ended(done)
        });
        match stop.run_until_cancelled(run).await {
            None => break,
            Some(Ok(changed)) => {
                changed.iter().for_each(tell);
                telemetry.gold_is_kept(context.clock.now());
                conditions.clear(&"gold");
            }
            Some(Err(error)) => {
                tracing::warn!(code = error.code().as_str(), %error, "gold cannot be computed now");
                conditions.set("gold", error.told());
            }
        }
    }
    Ok(())
}

fn tell(refreshed: &Refreshed) {
    let Refreshed { table, days, version, columns: _ } = refreshed;
    tracing::debug!(table, version, ?days, "gold is computed");
}
