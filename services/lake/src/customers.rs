//! Keeps what is known of customers up to the events, on a schedule.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_batch_views::{Customers, Refreshed, SqlEngine};
use tidemill_lake_tables::TableProperties;
use tidemill_service::{Conditions, Context};

/// Computes them anew every so often, if events have changed, while that is this replica's work.
pub(crate) async fn keep(
    context: Context,
    customers: Customers,
    engine: Arc<SqlEngine>,
    properties: TableProperties,
    every: Duration,
    is_ours: impl Fn() -> bool,
) -> Result<(), Infallible> {
    let conditions = Conditions::new(&context.health, "customers");
    let stop = context.shutdown.clone();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        if !is_ours() {
            conditions.clear(&"customers");
            continue;
        }
        let (of, with, properties) = (customers.clone(), engine.clone(), properties.clone());
        let run = engine.run(async move { of.refresh(&with, &properties).await });
        match stop.run_until_cancelled(run).await {
            None => break,
            Some(Ok(changed)) => {
                if let Some(Refreshed { table, version, .. }) = changed {
                    tracing::debug!(table, version, "customers are computed");
                }
                conditions.clear(&"customers");
            }
            Some(Err(error)) => {
                tracing::warn!(code = error.code().as_str(), %error, "customers cannot be computed now");
                conditions.set("customers", error.to_string());
            }
        }
    }
    Ok(())
}
