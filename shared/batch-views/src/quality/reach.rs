//! How new the events are that a table of gold covers.

use std::collections::BTreeMap;

use deltalake::datafusion::prelude::SessionContext;
use tidemill_domain::Timestamp;

use super::FileCounts;
use crate::{
    Gold, SqlEngine, SqlError,
    gold::{Coverage, text},
};

/// How far back it is looked for events that gold has.
const LOOKED_BACK: i64 = 24 * 3_600_000;

/// Of all events, and of those that the suite does not tell itself.
type NewestTimes = (Option<Timestamp>, Option<Timestamp>);

/// When ingestion took the newest event in that a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestEvents {
    /// The table, for instance `gold.sales_metrics`.
    pub table: String,
    /// Of all events.
    pub newest: Option<Timestamp>,
    /// Of those that the suite does not tell itself.
    pub newest_sent: Option<Timestamp>,
}

impl Gold {
    /// How new the events are that each table of a metric covers. `silver` is what was
    /// counted of `silver.events`. Of a table that is more than a day behind, nothing is
    /// told.
    ///
    /// # Errors
    /// The store is away, or a table cannot be read.
    pub async fn newest(&self, engine: &SqlEngine, silver: &FileCounts) -> Result<Vec<NewestEvents>, SqlError> {
        let context = engine.context();
        let sources = engine.sources(&context, &["silver/events"]).await?;
        let mut all = Vec::new();
        if !sources.has("silver/events") {
            return Ok(all);
        }
        let reached = Coverage::of_silver(&context).await?;
        // Tables that were computed together cover the same.
        let mut asked: BTreeMap<String, NewestTimes> = BTreeMap::new();
        for (path, app) in self.apps() {
            let Some(table) = engine.lake().existing(&path).await? else { continue };
            let covered = reached.of_gold(&table, &app).await?;
            let (newest, newest_sent) = match reached.behind(&covered) {
                None => (silver.newest, silver.newest_sent),
                Some(behind) => match asked.get(&behind) {
                    Some(found) => *found,
                    None => {
                        let found = newest_but(&context, &behind, silver.newest).await?;
                        asked.insert(behind, found);
                        found
                    }
                },
            };
            all.push(NewestEvents { table: path.replace('/', "."), newest, newest_sent });
        }
        Ok(all)
    }
}

/// The newest of the events that are not behind.
async fn newest_but(
    context: &SessionContext,
    behind: &str,
    newest: Option<Timestamp>,
) -> Result<NewestTimes, SqlError> {
    let Some(newest) = newest else { return Ok((None, None)) };
    let from = newest.plus_millis(-LOOKED_BACK);
    let sql = format!(
        "SELECT CAST(max(received) AS BIGINT), \
         CAST(max(received) FILTER (WHERE NOT starts_with(source, 'tidemill/')) AS BIGINT) \
         FROM silver.events WHERE received >= TIMESTAMP '{from}' AND NOT ({behind})"
    );
    let batches = context.sql(&sql).await?.collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok((None, None)) };
    let time = |column| -> Result<Option<Timestamp>, SqlError> {
        let micros = text(batch, column, 0)?.parse::<i64>().ok();
        Ok(micros.map(|micros| Timestamp::saturating_from_millis(micros.div_euclid(1000))))
    };
    Ok((time(0)?, time(1)?))
}
