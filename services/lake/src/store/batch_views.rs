//! Batch views that were told, and orders for more.

use sqlx::{Row, any::AnyRow};
use tidemill_batch_views::ViewReach;
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::Store;

/// How often a number may be taken by somebody else.
const TRIES: u32 = 20;
/// Orders that are remembered.
const REMEMBERED: i64 = 1_000;

/// The newest view of a version of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredView {
    pub(crate) metric: String,
    pub(crate) version: String,
    pub(crate) number: u64,
    pub(crate) reach: ViewReach,
    pub(crate) since: Timestamp,
    pub(crate) computed_at: Timestamp,
    /// Totals that the newest run told.
    pub(crate) cells: u64,
    /// When all its windows were computed last.
    pub(crate) whole_at: Timestamp,
}

/// An order, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredBatchOrder {
    pub(crate) number: i64,
    /// Whether all is computed, whatever is new.
    pub(crate) whole: bool,
    pub(crate) ordered_at: Timestamp,
    pub(crate) done_at: Option<Timestamp>,
    /// Why it could not be done.
    pub(crate) failed: Option<String>,
}

impl Store {
    /// The newest view of each version of a metric.
    pub(crate) async fn batch_views(&self) -> Result<Vec<StoredView>, Error> {
        let sql = "SELECT metric, version, number, reach, since, computed_at, cells, whole_at FROM batch_views \
                   ORDER BY metric, version";
        let rows = sqlx::query(sql).fetch_all(self.database.pool()).await?;
        rows.iter().map(view).collect()
    }

    /// A view was told to its end.
    pub(crate) async fn view_told(&self, view: &StoredView) -> Result<(), Error> {
        let reach = serde_json::to_string(&view.reach).map_err(|_| Error::Malformed("reach"))?;
        let sql = "INSERT INTO batch_views (metric, version, number, reach, since, computed_at, cells, whole_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (metric, version) DO UPDATE SET \
                   number = excluded.number, reach = excluded.reach, since = excluded.since, \
                   computed_at = excluded.computed_at, cells = excluded.cells, whole_at = excluded.whole_at \
                   WHERE excluded.number > batch_views.number";
        sqlx::query(sql)
            .bind(&view.metric)
            .bind(&view.version)
            .bind(view.number.cast_signed())
            .bind(reach)
            .bind(view.since.millis())
            .bind(view.computed_at.millis())
            .bind(view.cells.cast_signed())
            .bind(view.whole_at.millis())
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// Orders that views are computed; answers the order's number.
    pub(crate) async fn order_batch(&self, whole: bool, at: Timestamp) -> Result<i64, Error> {
        let sql = "INSERT INTO batch_orders (number, whole, ordered_at) \
                   SELECT coalesce(max(number), 0) + 1, CAST($1 AS BIGINT), CAST($2 AS BIGINT) FROM batch_orders \
                   WHERE 1 = 1 ON CONFLICT (number) DO NOTHING RETURNING number";
        for _ in 0..TRIES {
            let query = sqlx::query(sql).bind(i64::from(whole)).bind(at.millis());
            if let Some(row) = query.fetch_optional(self.database.writer()).await? {
                let number: i64 = row.try_get(0)?;
                let old = sqlx::query("DELETE FROM batch_orders WHERE number <= $1").bind(number - REMEMBERED);
                old.execute(self.database.writer()).await?;
                return Ok(number);
            }
        }
        Err(Error::Malformed("number"))
    }

    /// The oldest order that nothing has become of.
    pub(crate) async fn next_batch_order(&self) -> Result<Option<StoredBatchOrder>, Error> {
        let sql = "SELECT number, whole, ordered_at, done_at, failed FROM batch_orders WHERE done_at IS NULL \
                   ORDER BY number LIMIT 1";
        sqlx::query(sql).fetch_optional(self.database.pool()).await?.map(|row| order(&row)).transpose()
    }

    /// One of them.
    pub(crate) async fn batch_order(&self, number: i64) -> Result<Option<StoredBatchOrder>, Error> {
        let sql = "SELECT number, whole, ordered_at, done_at, failed FROM batch_orders WHERE number = $1";
        let query = sqlx::query(sql).bind(number);
        query.fetch_optional(self.database.pool()).await?.map(|row| order(&row)).transpose()
    }

    /// It is done, or could not be.
    pub(crate) async fn batch_order_done(
        &self,
        number: i64,
        failed: Option<String>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE batch_orders SET done_at = $1, failed = $2 WHERE number = $3 AND done_at IS NULL";
        let query = sqlx::query(sql).bind(at.millis()).bind(failed).bind(number);
        query.execute(self.database.writer()).await?;
        Ok(())
    }
}

fn time(row: &AnyRow, column: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::saturating_from_millis(row.try_get(column)?))
}

fn view(row: &AnyRow) -> Result<StoredView, Error> {
    Ok(StoredView {
        metric: row.try_get(0)?,
        version: row.try_get(1)?,
        number: row.try_get::<i64, _>(2)?.cast_unsigned(),
        reach: serde_json::from_str(row.try_get(3)?).map_err(|_| Error::Malformed("reach"))?,
        since: time(row, 4)?,
        computed_at: time(row, 5)?,
        cells: row.try_get::<i64, _>(6)?.cast_unsigned(),
        whole_at: time(row, 7)?,
    })
}

fn order(row: &AnyRow) -> Result<StoredBatchOrder, Error> {
    let done_at: Option<i64> = row.try_get(3)?;
    Ok(StoredBatchOrder {
        number: row.try_get(0)?,
        whole: row.try_get::<i64, _>(1)? != 0,
        ordered_at: time(row, 2)?,
        done_at: done_at.map(Timestamp::saturating_from_millis),
        failed: row.try_get(4)?,
    })
}
