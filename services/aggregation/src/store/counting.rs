//! Which batches the versions of metrics have not counted.

use sqlx::{Row, any::AnyRow};
use tidemill_definitions::Metrics;
use tidemill_domain::Timestamp;
use tidemill_events::{LogPosition, VersionCounting};
use tidemill_store::Error as StoreError;

use super::{PartitionClaim, Store};
use crate::{error::Error, fold::counting::switch};

impl Store {
    /// Notes that from the claim's floor on these versions count and no others;
    /// answers what each version that is known has not counted. `at_end` is the time,
    /// where nothing lies behind the floor. Noting it again is harmless.
    pub(crate) async fn switch_versions(
        &self,
        claim: &PartitionClaim,
        metrics: &Metrics,
        at_end: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<VersionCounting>, Error> {
        self.call(async {
            let partition = i64::from(claim.partition.index());
            let mut transaction = self.database.begin().await?;
            // First: the row stays locked, so that nobody claims the partition meanwhile.
            let sql = "UPDATE partitions SET epoch = epoch WHERE partition = $1 AND epoch = $2 RETURNING log_time";
            let query = sqlx::query(sql).bind(partition).bind(claim.epoch);
            let rows = query.fetch_all(&mut *transaction).await.map_err(StoreError::from)?;
            let row = rows.first().ok_or(Error::Superseded)?;
            let log_time: Option<i64> = row.try_get(0).map_err(StoreError::from)?;
            let log_time = log_time.map(Timestamp::saturating_from_millis);
            let at = LogPosition { raw_seq: claim.floor, ingested_at: at_end.or(log_time).unwrap_or(now) };
            let sql = "SELECT metric, version, uncounted FROM counting WHERE partition = $1 ORDER BY metric, version";
            let rows = sqlx::query(sql).bind(partition).fetch_all(&mut *transaction).await.map_err(StoreError::from)?;
            let mut known = rows.iter().map(counting).collect::<Result<Vec<_>, _>>()?;
            for changed in switch(&mut known, metrics, at) {
                let uncounted = serde_json::to_string(&changed.uncounted);
                let sql = "INSERT INTO counting (partition, metric, version, uncounted) VALUES ($1, $2, $3, $4) \
                           ON CONFLICT (partition, metric, version) DO UPDATE SET uncounted = excluded.uncounted";
                let query = sqlx::query(sql).bind(partition).bind(&changed.metric).bind(&changed.version);
                let query = query.bind(uncounted.map_err(|_| StoreError::Malformed("uncounted"))?);
                query.execute(&mut *transaction).await.map_err(StoreError::from)?;
            }
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(known)
        })
        .await
    }
}

fn counting(row: &AnyRow) -> Result<VersionCounting, StoreError> {
    let uncounted: String = row.try_get(2)?;
    let uncounted = serde_json::from_str(&uncounted).map_err(|_| StoreError::Malformed("uncounted"))?;
    Ok(VersionCounting { metric: row.try_get(0)?, version: row.try_get(1)?, uncounted })
}
