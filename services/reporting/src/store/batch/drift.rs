//! Totals of which the stream and a batch view say something else.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::{Error, SqlValues, for_keys, insert_rows};
use tidemill_totals::Totals;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    batch::{CellDrift, CellInPartition},
    read_model::VersionName,
    store::{
        Store,
        sql::{partition, time, unsigned},
    },
};

/// Differing totals that are kept of a version at most. All that are found are told in
/// the log and counted.
const KEPT: usize = 10_000;
const ROWS: &str = "drift (metric, version, window_start, cell, shard, window_end, dimensions, raw_seq, speed, batch,
    found_at)";
const KEY: &str = "ON CONFLICT (metric, version, window_start, cell, shard)";

/// Some of the totals that differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DriftPage {
    /// How many there are, by metric and version.
    pub(crate) counts: BTreeMap<(String, String), u64>,
    /// The earliest windows first, with metric and version.
    pub(crate) cells: Vec<(String, String, CellDrift)>,
}

fn cell(dimensions: &str) -> i64 {
    xxh3_64(dimensions.as_bytes()).cast_signed()
}

/// Keeps what was found. What was found before of the same cells is replaced.
pub(super) async fn note(
    connection: &mut AnyConnection,
    version: &VersionName,
    found: &[CellDrift],
    now: Timestamp,
) -> Result<(), Error> {
    const NEWER: &str = "DO UPDATE SET window_end = excluded.window_end, raw_seq = excluded.raw_seq,
        speed = excluded.speed, batch = excluded.batch, found_at = excluded.found_at";
    insert(connection, version, found, now, NEWER).await
}

/// Keeps what was found of cells that a view has no total of. What is known of them already
/// says more.
pub(super) async fn note_left(
    connection: &mut AnyConnection,
    version: &VersionName,
    found: &[CellDrift],
    now: Timestamp,
) -> Result<(), Error> {
    insert(connection, version, found, now, "DO NOTHING").await
}

async fn insert(
    connection: &mut AnyConnection,
    version: &VersionName,
    found: &[CellDrift],
    now: Timestamp,
    or: &str,
) -> Result<(), Error> {
    let Some(first) = found.first() else { return Ok(()) };
    let CellDrift { start, dimensions, partition, .. } = first;
    tracing::error!(
        metric = %version.0, cells = found.len(), %start, %dimensions, %partition,
        "batch and stream say something else of the same events"
    );
    let count = sqlx::query("SELECT COUNT(*) FROM drift WHERE metric = $1 AND version = $2");
    let count = count.bind(version.0.to_string()).bind(version.1.to_string());
    let known = usize::try_from(count.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)?).unwrap_or(KEPT);
    let mut rows = Vec::new();
    for drift in found.iter().take(KEPT.saturating_sub(known)) {
        rows.push(row(version, drift, now)?);
    }
    insert_rows(connection, ROWS, &format!("{KEY} {or}"), rows).await?;
    Ok(())
}

fn row(version: &VersionName, drift: &CellDrift, now: Timestamp) -> Result<SqlValues, Error> {
    let CellDrift { start, end, dimensions, partition, raw_seq, speed, batch } = drift;
    Ok(key(version, *start)
        .bind(cell(dimensions))
        .bind(i64::from(partition.index()))
        .bind(end.millis())
        .bind(dimensions.to_string())
        .bind(raw_seq.cast_signed())
        .bind(text(speed.as_ref())?)
        .bind(text(batch.as_ref())?)
        .bind(now.millis()))
}

fn key(version: &VersionName, start: Timestamp) -> SqlValues {
    SqlValues::new().bind(version.0.to_string()).bind(version.1.to_string()).bind(start.millis())
}

fn text(totals: Option<&Totals>) -> Result<String, Error> {
    let json = totals.map(serde_json::to_string).transpose().map_err(|_| Error::Malformed("total"))?;
    Ok(json.unwrap_or_default())
}

fn totals(text: &str) -> Result<Option<Totals>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|_| Error::Malformed("total"))
}

/// Forgets cells that are the same by now.
pub(super) async fn forget(
    connection: &mut AnyConnection,
    version: &VersionName,
    same: &[(Timestamp, CellInPartition)],
) -> Result<(), Error> {
    let any = sqlx::query("SELECT 1 FROM drift WHERE metric = $1 AND version = $2 LIMIT 1");
    let any = any.bind(version.0.to_string()).bind(version.1.to_string());
    if any.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(());
    }
    let mut by_shard: BTreeMap<(Timestamp, u16), Vec<i64>> = BTreeMap::new();
    for (start, (dimensions, partition)) in same {
        by_shard.entry((*start, partition.index())).or_default().push(cell(dimensions));
    }
    let sql = "DELETE FROM drift WHERE metric = ? AND version = ? AND window_start = ? AND shard = ? AND cell IN (?)";
    for ((start, shard), cells) in by_shard {
        for_keys(connection, sql, &key(version, start).bind(i64::from(shard)), cells).await?;
    }
    Ok(())
}

impl Store {
    /// Some of the totals that differ, of one metric or all.
    pub(crate) async fn drift(&self, metric: Option<&str>, most: u16) -> Result<DriftPage, Error> {
        const CELLS: &str = "SELECT metric, version, window_start, window_end, dimensions, shard, raw_seq, speed, batch
            FROM drift";
        const ORDER: &str = "ORDER BY window_start, metric, version, cell, shard LIMIT $1";
        let counts = self.drift_counts().await?;
        let (one, all) = (format!("{CELLS} WHERE metric = $2 {ORDER}"), format!("{CELLS} {ORDER}"));
        let query = sqlx::query(sqlx::AssertSqlSafe(if metric.is_some() { one } else { all })).bind(i64::from(most));
        let query = metric.iter().fold(query, |query, metric| query.bind((*metric).to_owned()));
        let rows = query.fetch_all(self.database.pool()).await?;
        Ok(DriftPage { counts, cells: rows.iter().map(drift).collect::<Result<_, _>>()? })
    }

    /// How many totals differ, by metric and version.
    pub(crate) async fn drift_counts(&self) -> Result<BTreeMap<(String, String), u64>, Error> {
        let sql = "SELECT metric, version, COUNT(*) FROM drift GROUP BY metric, version";
        let rows = sqlx::query(sql).fetch_all(self.database.pool()).await?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), unsigned(row, 2)?))).collect()
    }

    /// Forgets what was found before then, and was never found to be the same again.
    pub(crate) async fn forget_drift(&self, before: Timestamp) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM drift WHERE found_at < $1").bind(before.millis());
        query.execute(self.database.writer()).await?;
        Ok(())
    }
}

fn drift(row: &AnyRow) -> Result<(String, String, CellDrift), Error> {
    let cell = CellDrift {
        start: time(row.try_get(2)?),
        end: time(row.try_get(3)?),
        dimensions: row.try_get::<&str, _>(4)?.into(),
        partition: partition(row.try_get(5)?)?,
        raw_seq: unsigned(row, 6)?,
        speed: totals(row.try_get(7)?)?,
        batch: totals(row.try_get(8)?)?,
    };
    Ok((row.try_get(0)?, row.try_get(1)?, cell))
}
