//! Batch views in the read model: their totals, what each covers, and where they differ
//! from the stream's.

mod drift;
#[cfg(test)]
pub(super) mod tests;
mod views;

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{BatchView, BatchViewEnd, UncountedSpan, WindowSpan};
use tidemill_store::Error;

use super::{
    cells::{BatchWriter, WindowScope},
    kept::kept_of,
    sql::{partition, time, unsigned},
};
use crate::{
    batch::{BatchFold, LandedView, StreamCounted},
    read_model::{FoldedCells, VersionName},
};

/// What landed.
#[derive(Debug, Default)]
pub(super) struct LandedCells {
    /// All totals that were taken.
    pub(super) taken: FoldedCells,
    /// Those of them that say what was not known.
    pub(super) news: FoldedCells,
}

/// Takes messages of batch views in.
pub(super) async fn land(
    connection: &mut AnyConnection,
    fold: &BatchFold,
    now: Timestamp,
) -> Result<LandedCells, Error> {
    let mut landed = LandedCells::default();
    let mut compared: BTreeMap<VersionName, u64> = BTreeMap::new();
    for (version, windows) in fold.cells.versions() {
        let counted = counted(connection, version).await?;
        let (mut found, mut settled_cells) = (Vec::new(), Vec::new());
        let each = |start, settled: crate::batch::SettledWindow| {
            *compared.entry(version.clone()).or_default() += settled.compared();
            landed.news.insert(version, start, settled.news);
            landed.taken.insert(version, start, settled.taken);
            settled_cells.extend(settled.same.into_iter().map(|place| (start, place)));
            found.extend(settled.drift);
        };
        BatchWriter::new(connection, version.clone(), counted).land(windows, each).await?;
        drift::forget(connection, version, &settled_cells).await?;
        drift::note(connection, version, &found, now).await?;
    }
    for ((metric, version, number), cells) in &fold.arrived {
        let of = (metric.as_str().into(), version.as_str().into());
        let compared = compared.get(&of).copied().unwrap_or_default();
        views::arrived(connection, &of, *number, *cells, compared).await?;
    }
    for BatchView { number, metric, version, end } in &fold.ended {
        if let Some(end) = end {
            let of = (metric.as_str().into(), version.as_str().into());
            end_view(connection, &of, *number, end, now).await?;
        }
    }
    Ok(landed)
}

/// A view has come to its end: what of the stream is left in its windows is compared.
async fn end_view(
    connection: &mut AnyConnection,
    version: &VersionName,
    number: u64,
    end: &BatchViewEnd,
    now: Timestamp,
) -> Result<(), Error> {
    let BatchViewEnd { computed_at, since, reaches, computed, cells } = end;
    let reaches: BTreeMap<Partition, u64> = reaches.iter().map(|reach| (reach.partition, reach.raw_seq)).collect();
    let arrived = views::arrived_of(connection, version, number).await?;
    if arrived.cells != *cells {
        // The stream has forgotten some of it. The next view that is told has all.
        tracing::warn!(metric = %version.0, number, cells, arrived = arrived.cells, "a batch view has not come whole");
        return Ok(());
    }
    let counted = counted(connection, version).await?;
    let (mut found, mut same, mut compared) = (Vec::new(), Vec::new(), arrived.compared);
    let kept = kept_of(connection, (&version.0, &version.1)).await?;
    let mut writer = BatchWriter::new(connection, version.clone(), counted);
    for WindowSpan { from, to } in computed {
        let bounds = (kept.map_or(*from, |kept| kept.max(*from)), *to);
        let scope = WindowScope { bounds, reaches: &reaches };
        let each = |start, settled: crate::batch::SettledWindow| {
            compared += settled.compared();
            same.extend(settled.same.into_iter().map(|place| (start, place)));
            found.extend(settled.drift);
        };
        writer.sweep(&scope, each).await?;
    }
    drift::forget(connection, version, &same).await?;
    drift::note_left(connection, version, &found, now).await?;
    let (metric, of) = (version.0.to_string(), version.1.to_string());
    let (since, computed_at) = (*since, *computed_at);
    let view = LandedView { metric, version: of, number, since, computed_at, landed_at: now, reaches, compared };
    views::write(connection, &view).await
}

/// How far the stream has counted a version.
async fn counted(connection: &mut AnyConnection, (metric, version): &VersionName) -> Result<StreamCounted, Error> {
    let progress = sqlx::query("SELECT shard, raw_seq FROM progress").fetch_all(&mut *connection).await?;
    let mut counted = StreamCounted::default();
    for row in &progress {
        counted.reached.insert(partition(row.try_get(0)?)?, unsigned(row, 1)?);
    }
    let sql = "SELECT shard, uncounted FROM counting WHERE metric = $1 AND version = $2";
    let query = sqlx::query(sql).bind(metric.to_string()).bind(version.to_string());
    for row in &query.fetch_all(&mut *connection).await? {
        let uncounted: Vec<UncountedSpan> =
            serde_json::from_str(row.try_get(1)?).map_err(|_| Error::Malformed("uncounted"))?;
        if !uncounted.is_empty() {
            counted.lacking.insert(partition(row.try_get(0)?)?);
        }
    }
    let sql = "SELECT data_since FROM versions WHERE metric = $1 AND version = $2";
    let query = sqlx::query(sql).bind(metric.to_string()).bind(version.to_string());
    if let Some(row) = query.fetch_optional(connection).await? {
        let since: i64 = row.try_get(0)?;
        counted.data_since = (since != 0).then(|| time(since));
    }
    Ok(counted)
}
