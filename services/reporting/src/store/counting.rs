//! What the versions of metrics have not counted.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_events::UncountedSpan;
use tidemill_store::Error;

use super::{Store, sql::upsert};
use crate::{catalogue::Metric, counting::Counting, read_model::MetricsFold};

#[cfg(test)]
pub(super) mod tests;

/// Writes what was said of versions. What is stored and newer stays.
pub(super) async fn write(connection: &mut AnyConnection, fold: &MetricsFold) -> Result<(), Error> {
    let mut said = Vec::with_capacity(fold.counting.len());
    for (key, state) in &fold.counting {
        said.push((key, state, serde_json::to_string(&state.uncounted).map_err(|_| Error::Malformed("uncounted"))?));
    }
    upsert(
        connection,
        "counting (metric, version, shard, raw_seq, as_of, uncounted)",
        6,
        "(metric, version, shard) DO UPDATE SET raw_seq = excluded.raw_seq, as_of = excluded.as_of,
         uncounted = excluded.uncounted
         WHERE (excluded.raw_seq, excluded.as_of) > (counting.raw_seq, counting.as_of)",
        &said,
        |statement, ((metric, version, partition), state, uncounted)| {
            statement
                .bind(metric.clone())
                .bind(version.clone())
                .bind(i64::from(partition.index()))
                .bind(state.raw_seq.cast_signed())
                .bind(state.as_of.millis())
                .bind(uncounted.clone())
        },
    )
    .await
}

impl Store {
    /// What a version of a metric has not counted.
    pub(crate) async fn counting(&self, metric: &str, version: &str) -> Result<Counting, Error> {
        let query = sqlx::query("SELECT uncounted FROM counting WHERE metric = $1 AND version = $2");
        let rows = query.bind(metric.to_owned()).bind(version.to_owned()).fetch_all(self.database.pool()).await?;
        let partitions = rows.iter().map(|row| uncounted(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(Counting::of(&partitions))
    }

    /// Whether two metrics have counted the same events, as far as it matters to a
    /// question that begins at `from`.
    pub(crate) async fn count_alike(
        &self,
        one: &Metric,
        other: &Metric,
        from: Option<Timestamp>,
    ) -> Result<bool, Error> {
        Ok(self.lacks(one, from).await? == self.lacks(other, from).await?)
    }

    /// What a version has not counted in each partition; none of those of which it
    /// lacks nothing.
    async fn lacks(&self, metric: &Metric, from: Option<Timestamp>) -> Result<BTreeMap<i64, Counting>, Error> {
        let query = sqlx::query("SELECT shard, uncounted FROM counting WHERE metric = $1 AND version = $2");
        let query = query.bind(metric.name.clone()).bind(metric.version.clone());
        let mut lacks = BTreeMap::new();
        for row in &query.fetch_all(self.database.pool()).await? {
            let counting = Counting::of(&[uncounted(row, 1)?]).since(from);
            if counting != Counting::default() {
                lacks.insert(row.try_get(0)?, counting);
            }
        }
        Ok(lacks)
    }

    /// What each version has not counted, by metric and version; none of those that
    /// have counted all.
    pub(crate) async fn counting_of_all(&self) -> Result<BTreeMap<(String, String), Counting>, Error> {
        let rows =
            sqlx::query("SELECT metric, version, uncounted FROM counting").fetch_all(self.database.pool()).await?;
        let mut versions: BTreeMap<(String, String), Vec<Vec<UncountedSpan>>> = BTreeMap::new();
        for row in &rows {
            versions.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(uncounted(row, 2)?);
        }
        Ok(versions.into_iter().map(|(version, partitions)| (version, Counting::of(&partitions))).collect())
    }
}

fn uncounted(row: &AnyRow, column: usize) -> Result<Vec<UncountedSpan>, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| Error::Malformed("uncounted"))
}
