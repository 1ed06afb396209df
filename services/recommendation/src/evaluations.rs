//! Tells how well clicks were predicted.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_domain::Partition;
use tokio::time::{MissedTickBehavior, interval};

use crate::{app::Recommender, measure::evaluated};

/// How often it is looked whether a span has ended.
const LOOK: Duration = Duration::from_secs(1);

/// Tells of spans that have ended, for as long as the service lives. What is not told when it
/// ends is lost: it is a sample the less.
pub(crate) async fn run(app: Arc<Recommender>) -> Result<(), Infallible> {
    let mut looks = interval(LOOK.min(app.evaluation.span() / 4));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        let kept: Vec<Partition> = app.kept_partitions().iter().map(|claim| claim.partition).collect();
        app.evaluation.close(&kept, app.now());
        tell(&app).await;
    }
}

/// Publishes what has ended. What cannot be published now stays for the next time.
async fn tell(app: &Recommender) {
    loop {
        let Some(span) = app.evaluation.ended() else { return };
        let published = match evaluated(&span) {
            Ok(event) => app.bus.publish(&event).await.map(drop),
            Err(error) => {
                tracing::error!(%error, "an evaluation cannot be written");
                Ok(())
            }
        };
        match published {
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "an evaluation cannot be told now");
                return app.evaluation.keep(span);
            }
            Err(error) => tracing::warn!(%error, "an evaluation is given up"),
            Ok(()) => app.telemetry.evaluated(span.cases),
        }
    }
}
