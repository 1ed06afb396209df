//! What silver has.

use deltalake::datafusion::prelude::SessionContext;
use tidemill_domain::Currency;

use super::coverage::{Coverage, text};
use crate::{SqlEngine, SqlError};

/// What silver has, as of a run.
#[derive(Debug, Clone)]
pub(crate) struct SilverState {
    pub(crate) coverage: Coverage,
    /// The day, since 1970, from which on it has all rows.
    pub(crate) complete_since: Option<i64>,
    /// The shop's base currency.
    pub(super) base: Option<Currency>,
}

impl SilverState {
    /// As a session has it.
    pub(crate) async fn of(engine: &SqlEngine, context: &SessionContext) -> Result<Self, SqlError> {
        let coverage = Coverage::of_silver(context).await?;
        let base = newest_base(context).await?;
        Ok(Self { coverage, complete_since: engine.complete_since("silver/events").await?, base })
    }
}

/// The shop's base currency, as the newest event has it.
async fn newest_base(context: &SessionContext) -> Result<Option<Currency>, SqlError> {
    let sql = "SELECT base_currency FROM silver.events WHERE base_currency IS NOT NULL ORDER BY time DESC LIMIT 1";
    let batches = context.sql(sql).await?.collect().await?;
    let found = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| text(batch, 0, 0));
    Ok(found.transpose()?.and_then(|text| text.parse().ok()))
}
