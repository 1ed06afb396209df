//! Totals as points: what the checkpoints have, for whoever has no InfluxDB.

use sqlx::AnyConnection;
use tidemill_definitions::MetricDefinition;
use tidemill_metrics_store::Point;
use tidemill_store::Error as StoreError;

use super::{
    Store,
    first_points::FirstPoints,
    pages::read_points,
    partition,
    read::{CELL, update},
};
use crate::{error::Error, fold::session::TimeSpan};

impl Store {
    /// The points of a metric, as its definition is now, whose windows start within
    /// a span, of all partitions, by time and tags; at most `limit`.
    pub(crate) async fn points(
        &self,
        metric: &MetricDefinition,
        span: TimeSpan,
        limit: usize,
    ) -> Result<Vec<Point>, Error> {
        self.call(async {
            let mut first = FirstPoints::new(metric, limit);
            let mut snapshot = self.database.snapshot().await?;
            read_rows(&mut snapshot, &mut first, span).await?;
            read_points(&mut snapshot, &mut first, span).await?;
            Ok(first.taken())
        })
        .await
    }
}

/// Cells that are rows of their own.
async fn read_rows(
    connection: &mut AnyConnection,
    first: &mut FirstPoints<'_>,
    span: TimeSpan,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {CELL}, partition FROM cells WHERE metric = $1 AND version = $2 AND window_start >= $3 \
         AND window_start < $4 ORDER BY window_start, dimensions, partition LIMIT $5"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&first.metric.name).bind(first.metric.version());
    let query = query.bind(span.from.millis()).bind(span.to.millis());
    let query = query.bind(i64::try_from(first.limit).unwrap_or(i64::MAX));
    for row in query.fetch_all(connection).await? {
        first.add(&update(&row)?, partition(&row, 10)?);
    }
    Ok(())
}
