//! Reading cells, rolled up where an answer knows no difference.

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    level::{HOUR, RollupLevel, is_rolled_up},
    plan::{MergeScope, ReadSegment, plan},
    standing::standing,
};
use crate::{
    calendar::Zone,
    catalogue::Metric,
    store::{
        Store,
        cells::{StoredCell, each_between, extent, unpack},
        kept::kept_of,
    },
};

/// Longer than any day: how far a range may be drawn beyond the windows that
/// there are, so that the days at its ends are whole.
const MARGIN: i64 = 48 * HOUR;

impl Store {
    /// Calls `visit` with the cells of a metric's version whose windows start
    /// between `from` and `to` (exclusive); where they are rolled up, with what
    /// they come to within a span of `scope`. Those of an earlier span come
    /// earlier; `shop` is whose days are rolled up.
    pub(crate) async fn each_rolled_up<E: From<Error>>(
        &self,
        metric: &Metric,
        shop: Zone,
        (from, to): (Timestamp, Timestamp),
        scope: &MergeScope,
        mut visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let tile = metric.tile_millis().filter(|_| is_rolled_up(metric));
        let Some(tile) = tile else { return self.each_cell(metric, from, to, visit).await };
        let of = (&*metric.name, &*metric.version);
        let mut snapshot = self.database.snapshot().await?;
        let Some((first, last)) = extent(&mut snapshot, of).await? else { return Ok(()) };
        let (from, to) = (from.max(first.plus_millis(-MARGIN)), to.min(last.plus_millis(MARGIN)));
        // A roll-up of a span that has more before it would tell of that.
        let from = kept_of(&mut snapshot, of).await?.map_or(from, |kept| kept.max(from));
        let segments = match standing(&mut snapshot, of, shop, from, to).await? {
            Some(standing) => plan(from, to, tile, &standing, scope),
            None => vec![ReadSegment { level: None, from, to }],
        };
        for ReadSegment { level, from, to } in segments {
            match level {
                None => each_between(&mut snapshot, of, from, to, &mut visit).await?,
                Some(level) => each_rollup(&mut snapshot, level, of, from, to, &mut visit).await?,
            }
        }
        Ok(snapshot.rollback().await.map_err(Error::from)?)
    }
}

/// Calls `visit` with the roll-ups of spans that start between `from` and `to`
/// (exclusive), the earliest span first.
pub(super) async fn each_rollup<E: From<Error>>(
    connection: &mut AnyConnection,
    level: RollupLevel,
    (metric, version): (&str, &str),
    from: Timestamp,
    to: Timestamp,
    visit: impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let rows = sqlx::query(
        "SELECT span_start, span_end, '', cells FROM rollups WHERE level = $1 AND metric = $2 AND version = $3
         AND span_start >= $4 AND span_start < $5 ORDER BY span_start, part",
    );
    let rows = rows.bind(level.name()).bind(metric.to_owned()).bind(version.to_owned());
    unpack(connection, rows.bind(from.millis()).bind(to.millis()), visit).await
}
