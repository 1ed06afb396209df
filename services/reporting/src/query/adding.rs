//! Adds up the cells of a range.

use tidemill_domain::Timestamp;

use super::{grouping::Grouping, resolution::Rollup};
use crate::{
    calendar::Zone,
    catalogue::Metric,
    error::Error,
    store::{Store, StoredCell},
};

/// Adds the cells of a metric whose windows start between two times (the second
/// exclusive) to a grouping: rolled up as far as it makes no difference to
/// `rollup`. `shop` is whose days are rolled up.
pub(crate) async fn add_up(
    store: &Store,
    metric: &Metric,
    shop: Zone,
    bounds: (Timestamp, Timestamp),
    rollup: Rollup,
    grouping: &mut Grouping<'_>,
) -> Result<(), Error> {
    let add = |cell: StoredCell<'_>| grouping.add(cell);
    match rollup.scope() {
        Some(scope) => store.each_rolled_up(metric, shop, bounds, &scope, add).await,
        None => store.each_cell(metric, bounds.0, bounds.1, add).await,
    }
}
