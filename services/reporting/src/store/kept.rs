//! Since when totals are kept.
//!
//! The bound of a version is stored, and only ever goes on. Questions read nothing that starts
//! before it from the moment on at which it is stored, and folds write nothing: so what is behind
//! it may be deleted bit by bit, and comes back from nowhere.

use std::{borrow::Cow, collections::BTreeSet};

use sqlx::{AnyConnection, AssertSqlSafe, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    Store,
    positions::claim,
    sql::{BATCH, time, upsert},
};
use crate::{
    catalogue::Metric,
    read_model::{KeptSince, MetricsFold, VersionName},
    unit::StreamUnit,
};

/// Holds of a window of a version that is kept, which may be a batch view's. The statement binds
/// metric and version first.
pub(super) const IS_KEPT: &str = "window_start >= (SELECT COALESCE(MAX(since), -9223372036854775807) FROM kept_totals
     WHERE metric = $1 AND $2 IN (version, version || '@batch'))";
/// Windows of a version that one transaction deletes.
const AT_ONCE: i64 = if cfg!(test) { 7 } else { 200 };

/// Since when totals are kept, of versions of which not all are.
pub(super) async fn kept(connection: &mut AnyConnection) -> Result<KeptSince, Error> {
    let rows = sqlx::query("SELECT metric, version, since FROM kept_totals").fetch_all(connection).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let version: VersionName = (row.try_get::<&str, _>(0)?.into(), row.try_get::<&str, _>(1)?.into());
        Ok((version, time(row.try_get(2)?)))
    };
    rows.iter().map(read).collect()
}

/// Since when totals of a version are kept; `None` where all are.
pub(super) async fn kept_of(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
) -> Result<Option<Timestamp>, Error> {
    let query = sqlx::query("SELECT since FROM kept_totals WHERE metric = $1 AND version = $2");
    let version = version.strip_suffix(BATCH).unwrap_or(version);
    let row = query.bind(metric.to_owned()).bind(version.to_owned()).fetch_optional(connection).await?;
    row.map(|row| Ok(time(row.try_get(0)?))).transpose()
}

/// What of a fold is kept. Whoever folds has claimed the position of the metrics before.
pub(super) async fn of_fold<'f>(
    connection: &mut AnyConnection,
    fold: &'f MetricsFold,
) -> Result<Cow<'f, MetricsFold>, Error> {
    let kept = kept(connection).await?;
    if fold.cells.are_kept(&kept) {
        return Ok(Cow::Borrowed(fold));
    }
    let mut fold = fold.clone();
    fold.cells.forget_before(&kept);
    Ok(Cow::Owned(fold))
}

impl Store {
    /// Since when totals of a metric's version are kept; `None` where all are.
    pub(crate) async fn kept_since(&self, metric: &Metric) -> Result<Option<Timestamp>, Error> {
        kept_of(&mut *self.database.pool().acquire().await?, (&metric.name, &metric.version)).await
    }

    /// The same of all versions of which not all are.
    pub(crate) async fn kept_of_all(&self) -> Result<KeptSince, Error> {
        kept(&mut *self.database.pool().acquire().await?).await
    }

    /// When the newest batch view was computed that was told to its end.
    pub(crate) async fn newest_view(&self) -> Result<Option<Timestamp>, Error> {
        let row = sqlx::query("SELECT MAX(computed_at) FROM batch_views").fetch_one(self.database.pool()).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(time))
    }

    /// Gives up totals of windows that start before then, of versions that have a batch view;
    /// answers of which. No question sees them from here on, and they are deleted bit by bit
    /// ([`forget_unkept`](Self::forget_unkept)).
    pub(crate) async fn keep_since(&self, since: Timestamp) -> Result<Vec<(String, String)>, Error> {
        const EARLIER: &str = "SELECT v.metric, v.version FROM batch_views v
            LEFT JOIN kept_totals k ON k.metric = v.metric AND k.version = v.version
            WHERE k.since IS NULL OR k.since < $1 ORDER BY v.metric, v.version";
        let query = || sqlx::query(EARLIER).bind(since.millis());
        if query().fetch_optional(self.database.pool()).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.database.begin().await?;
        // A fold comes before it, and may write what is given up then, or behind it, and knows of it.
        claim(&mut tx, StreamUnit::Metrics).await?;
        let rows = query().fetch_all(&mut *tx).await?;
        let versions: Vec<(String, String)> =
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
        upsert(
            &mut tx,
            "kept_totals (metric, version, since)",
            3,
            "(metric, version) DO UPDATE SET since = excluded.since",
            &versions,
            |statement, (metric, version)| statement.bind(metric.clone()).bind(version.clone()).bind(since.millis()),
        )
        .await?;
        tx.commit().await?;
        Ok(versions)
    }

    /// Deletes some of what is not kept; answers whether there may be more.
    pub(crate) async fn forget_unkept(&self) -> Result<bool, Error> {
        let mut more = BTreeSet::new();
        for ((metric, version), since) in self.kept_of_all().await? {
            let mut tx = self.database.begin().await?;
            let of_batch = format!("{version}{BATCH}");
            let places = [
                ("packed_cells", "window_start", &*version),
                ("packed_cells", "window_start", &*of_batch),
                ("unpacked_cells", "window_start", &*version),
                ("drift", "window_start", &*version),
                ("rollups", "span_start", &*version),
                ("rollup_marks", "span_start", &*version),
            ];
            for (table, place, version) in places {
                let sql = format!(
                    "DELETE FROM {table} WHERE metric = $1 AND version = $2 AND {place} IN
                     (SELECT DISTINCT {place} FROM {table} WHERE metric = $1 AND version = $2 AND {place} < $3
                      ORDER BY {place} LIMIT {AT_ONCE})"
                );
                let query = sqlx::query(AssertSqlSafe(sql)).bind(metric.to_string()).bind(version.to_owned());
                more.insert(query.bind(since.millis()).execute(&mut *tx).await?.rows_affected() > 0);
            }
            tx.commit().await?;
        }
        Ok(more.contains(&true))
    }
}
