//! The base currency that totals were converted to.

use tidemill_domain::Currency;
use tidemill_store::Error;
use tidemill_totals::MeasureTotal;

use super::{Store, cells::newest};
use crate::catalogue::Metric;

#[cfg(test)]
pub(super) mod tests;

/// How many of the newest cells are looked at. Some have no rate.
const NEWEST: usize = 64;

impl Store {
    /// The base currency of the newest data of a metric's version: of its last
    /// window, and in that of what was counted last. A shop may have changed it.
    pub(crate) async fn newest_base(&self, metric: &Metric) -> Result<Option<Currency>, Error> {
        if !metric.has_money() {
            return Ok(None);
        }
        let mut connection = self.database.pool().acquire().await?;
        let cells = newest(&mut connection, (&metric.name, &metric.version), NEWEST).await?;
        let counted = cells.iter().filter_map(|(start, raw_seq, totals)| {
            Some(((start, raw_seq), totals.0.iter().filter_map(MeasureTotal::base).min()?))
        });
        Ok(counted.max().map(|(_, base)| base))
    }
}
