//! Keeps gold up to silver, on a schedule.

use std::{sync::Arc, time::Duration};

use tidemill_batch_views::{Gold, SqlEngine, SqlError};
use tokio_util::sync::CancellationToken;

/// Brings gold up to silver every so often, until it is told to stop. What a run
/// leaves undone the next one does: a commit says how far it is.
pub async fn keep(
    gold: Arc<Gold>,
    engine: Arc<SqlEngine>,
    every: Duration,
    stopped: CancellationToken,
    tell: impl Fn(Option<&SqlError>),
) {
    loop {
        let run = stopped.run_until_cancelled(gold.refresh(&engine)).await;
        match run {
            None => return,
            Some(Ok(changed)) => {
                for table in &changed {
                    tracing::info!(table = table.table, version = table.version, days = ?table.days, "gold is computed");
                }
                tell(None);
            }
            Some(Err(error)) => {
                tracing::warn!(code = error.code().as_str(), %error, "gold cannot be computed now");
                tell(Some(&error));
            }
        }
        if stopped.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
            return;
        }
    }
}
