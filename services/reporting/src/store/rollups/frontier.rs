//! What was stored before there were roll-ups is marked bit by bit, the newest
//! first.

use sqlx::{AnyConnection, AssertSqlSafe, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    level::{HOURS, RollupLevel, is_rolled_up},
    marks::mark_unmarked,
    standing::is_marked,
    steps,
};
use crate::{
    calendar::Zone,
    store::{Store, cells::outermost, sql::time},
};

/// Spans that one step marks at most.
const SPANS: usize = 64;
/// A frontier that has not moved yet: nothing is rolled up for certain.
const NOTHING: i64 = i64::MAX;
/// A frontier that has arrived: every span is right or marked.
const ALL: i64 = i64::MIN;

/// How far the stored totals of a version are rolled up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RollupProgress {
    /// The metric's name.
    pub(crate) metric: String,
    /// The version.
    pub(crate) version: String,
    /// `hour`, or `day` with its zone.
    pub(crate) level: String,
    /// Down to where spans are marked; `None` once that is all of them.
    pub(crate) reached: Option<Timestamp>,
}

impl Store {
    /// Begins the roll-ups of versions that have none yet.
    pub(crate) async fn begin_rollups(&self, shop: Zone) -> Result<(), Error> {
        let day = RollupLevel::Day(shop).name();
        let rows = sqlx::query(
            "SELECT metric, version FROM rollup_frontiers GROUP BY metric, version
            HAVING SUM(CASE WHEN level = $1 OR level = $2 THEN 1 ELSE 0 END) = 2",
        );
        let rows = rows.bind(HOURS).bind(day.clone()).fetch_all(self.database.pool()).await?;
        let begun: Vec<(String, String)> =
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
        let stored = self.versions().await?.into_iter();
        let metrics = stored.filter(|version| version.data_since.is_some()).filter_map(|version| version.definition);
        let is_new = |of: &(String, String)| !begun.contains(of);
        let new: Vec<_> =
            metrics.filter(is_rolled_up).map(|metric| (metric.name, metric.version)).filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        steps::begin(&mut tx, &day).await?;
        for of in &new {
            // While no hour is right, no day is: as hours get right, their days
            // are marked. So days have a way of their own only if they come later.
            let is_first = add(&mut tx, HOURS, of, NOTHING).await?;
            add(&mut tx, &day, of, if is_first { ALL } else { NOTHING }).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Marks some of what was stored before, one version at a time; `None` where
    /// everything is marked.
    pub(crate) async fn extend_rollups(&self, shop: Zone, now: Timestamp) -> Result<Option<RollupProgress>, Error> {
        const NEXT: &str = "SELECT level, metric, version, below FROM rollup_frontiers WHERE below > $1 AND
            (level = $2 OR level = $3) ORDER BY CASE WHEN level = $2 THEN 0 ELSE 1 END, below, metric, version LIMIT 1";
        let day = RollupLevel::Day(shop).name();
        let next = || sqlx::query(NEXT).bind(ALL).bind(HOURS).bind(day.clone());
        let mut reader = self.database.pool().acquire().await?;
        // Before the first fold of this release nobody knows what is marked.
        if !is_marked(&mut reader).await? || next().fetch_optional(&mut *reader).await?.is_none() {
            return Ok(None);
        }
        drop(reader);
        let mut tx = self.database.begin().await?;
        let step = steps::begin(&mut tx, &day).await?;
        let Some(row) = next().fetch_optional(&mut *tx).await? else { return Ok(None) };
        let (level, metric, version): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let below: i64 = row.try_get(3)?;
        let of_level = if level == HOURS { RollupLevel::Hour } else { RollupLevel::Day(shop) };
        let mut spans = newest(&mut tx, of_level, (&metric, &version), time(below)).await?;
        let reached = spans.last().copied().filter(|_| spans.len() == SPANS);
        let moved = sqlx::query(
            "UPDATE rollup_frontiers SET below = $1 WHERE level = $2 AND metric = $3 AND version = $4 AND below = $5",
        );
        let moved = moved.bind(reached.map_or(ALL, Timestamp::millis)).bind(level.clone());
        // A fold may have set it back; then the next step begins there.
        moved.bind(metric.clone()).bind(version.clone()).bind(below).execute(&mut *tx).await?;
        // In the order of folds, so that none waits for one that waits for it.
        spans.sort_unstable();
        let marked: Vec<_> = spans.iter().map(|start| (&*metric, &*version, *start)).collect();
        // Folds count from 1 up.
        mark_unmarked(&mut tx, &level, &marked, -step.cast_signed(), now).await?;
        tx.commit().await?;
        Ok(Some(RollupProgress { metric, version, level, reached }))
    }
}

/// Adds a frontier where there is none; answers whether there was none.
async fn add(
    connection: &mut AnyConnection,
    level: &str,
    (metric, version): &(String, String),
    below: i64,
) -> Result<bool, Error> {
    let added = sqlx::query(
        "INSERT INTO rollup_frontiers (level, metric, version, below) VALUES ($1, $2, $3, $4)
         ON CONFLICT (level, metric, version) DO NOTHING",
    );
    let added = added.bind(level.to_owned()).bind(metric.clone()).bind(version.clone()).bind(below);
    Ok(added.execute(connection).await?.rows_affected() > 0)
}

/// The newest spans with cells that start before `below`, the newest first.
async fn newest(
    connection: &mut AnyConnection,
    level: RollupLevel,
    (metric, version): (&str, &str),
    below: Timestamp,
) -> Result<Vec<Timestamp>, Error> {
    let sql = format!("SELECT MAX(window_start) FROM {}", outermost("DESC", "AND window_start < $3"));
    let (mut spans, mut before) = (Vec::with_capacity(SPANS), below);
    while spans.len() < SPANS {
        let cell = sqlx::query(AssertSqlSafe(sql.clone())).bind(metric.to_owned()).bind(version.to_owned());
        let cell = cell.bind(before.millis()).fetch_one(&mut *connection).await?;
        let Some(start) = cell.try_get::<Option<i64>, _>(0)? else { break };
        before = level.span_of(time(start)).0;
        spans.push(before);
    }
    Ok(spans)
}
