//! The base currency that totals were converted to.

use sqlx::Row;
use tidemill_domain::Currency;
use tidemill_store::Error;
use tidemill_totals::{MeasureTotal, Totals};

use super::Store;
use crate::catalogue::Metric;

#[cfg(test)]
pub(super) mod tests;

/// How many of the newest cells are looked at. Some have no rate.
const NEWEST: i64 = 64;

impl Store {
    /// The base currency of the newest data of a metric's version: of its last
    /// window, and in that of what was counted last. A shop may have changed it.
    pub(crate) async fn newest_base(&self, metric: &Metric) -> Result<Option<Currency>, Error> {
        if !metric.has_money() {
            return Ok(None);
        }
        let query = sqlx::query(
            "SELECT window_start, raw_seq, totals FROM cells WHERE metric = $1 AND version = $2 AND retracted = 0
             ORDER BY window_start DESC LIMIT $3",
        );
        let query = query.bind(metric.name.clone()).bind(metric.version.clone()).bind(NEWEST);
        let mut newest: Option<((i64, i64), Currency)> = None;
        for row in &query.fetch_all(self.database.pool()).await? {
            let totals: Totals = serde_json::from_str(row.try_get(2)?).map_err(|_| Error::Malformed("total"))?;
            let base = totals.0.iter().filter_map(MeasureTotal::base).min();
            newest =
                newest.max(base.map(|base| Ok::<_, Error>(((row.try_get(0)?, row.try_get(1)?), base))).transpose()?);
        }
        Ok(newest.map(|(_, base)| base))
    }
}
