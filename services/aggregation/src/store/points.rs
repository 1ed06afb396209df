//! Totals as points: what the checkpoints have, for whoever has no InfluxDB.

use sqlx::AnyConnection;
use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_metrics_store::Point;
use tidemill_store::Error as StoreError;

use super::{
    Store,
    pages::read_points,
    partition,
    read::{CELL, update},
};
use crate::{
    error::Error,
    fold::{points::point_of, session::TimeSpan},
};

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
            let mut first = FirstPoints { metric, limit, points: Vec::new() };
            let mut snapshot = self.database.snapshot().await?;
            read_rows(&mut snapshot, &mut first, span).await?;
            read_points(&mut snapshot, &mut first, span).await?;
            Ok(first.taken())
        })
        .await
    }
}

/// The first points of all that are met.
pub(super) struct FirstPoints<'m> {
    pub(super) metric: &'m MetricDefinition,
    limit: usize,
    points: Vec<Point>,
}

impl FirstPoints<'_> {
    /// Whether a point of this time may be among them.
    pub(super) fn may_take(&mut self, time: Timestamp) -> bool {
        if self.points.len() <= self.limit {
            return true;
        }
        self.cut();
        self.points.last().is_some_and(|last| time <= last.time)
    }

    pub(super) fn add(&mut self, cell: &CellUpdate, partition: Partition) {
        self.points.extend(point_of(cell, partition, self.metric));
        // Not at each one: sorting costs.
        if self.points.len() >= self.limit.saturating_mul(2).max(1_000) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.points.sort_by(|a, b| (a.time, &a.tags).cmp(&(b.time, &b.tags)));
        self.points.truncate(self.limit);
    }

    fn taken(mut self) -> Vec<Point> {
        self.cut();
        self.points
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
