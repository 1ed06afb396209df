//! Keeps what is known of customers up to the events, on a schedule.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_batch_views::{Customers, RefreshStep, SqlEngine};
use tidemill_lake_tables::TableProperties;
use tidemill_service::{Conditions, Context};

use crate::{openlineage::OpenLineage, refreshes::Refreshes};

/// Computes them anew every so often, if events have changed, while that is this replica's work.
pub(crate) async fn keep(
    context: Context,
    customers: Customers,
    engine: Arc<SqlEngine>,
    properties: TableProperties,
    every: Duration,
    is_ours: impl Fn() -> bool,
    lineage: OpenLineage,
) -> Result<(), Infallible> {
    let conditions = Conditions::new(&context.health, "customers");
    let stop = context.shutdown.clone();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        if !is_ours() {
            conditions.clear(&"customers");
            continue;
        }
        let (of, with, properties) = (customers.clone(), engine.clone(), properties.clone());
        let mut refreshes = Refreshes::new(lineage.clone());
        let run = engine.run(async move {
            let done = of.refresh(&with, &properties, &mut |step| refreshes.step(step)).await;
            let done = done.map(|changed| changed.iter().for_each(|table| refreshes.step(RefreshStep::Done(table))));
            refreshes.ended(done)
        });
        match stop.run_until_cancelled(run).await {
            None => break,
            Some(Ok(changed)) => {
                for table in changed {
                    tracing::debug!(table = table.table, version = table.version, "customers are computed");
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
