//! Writing the totals of a fold.
//!
//! A window has one row, until that gets long; then it has two, four and so on,
//! and the hash of its dimensions says in which of them a cell is. A fold reads
//! the rows that it touches, and writes them whole. The first row of a window,
//! which is always there, says how many there are: `1 << depth`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error, SqlValues, for_keys, insert_rows};
use tidemill_totals::TotalsShape;

use super::{
    lines::{MergedLines, bucket_of, merge, parted},
    unpacked::{Unpacked, named},
};
use crate::{
    read_model::{CellState, FoldedCells, VersionName, WindowStates},
    store::sql::time,
};

/// Cells in one row at most: what a fold writes at least, for one that changed. In
/// tests a few, so that windows have many rows.
const CELLS: usize = if cfg!(test) { 6 } else { 128 };
/// More rows than any window needs.
const DEEPEST: u32 = 16;
/// Windows that are read and written at once.
const WINDOWS: usize = 256;

/// A cell of a window, and what it is now.
type CellInRow<'c> = (&'c (Arc<str>, Partition), &'c CellState);

pub(super) const ROW: &str =
    "SELECT window_start, bucket, depth, states, cells FROM packed_cells WHERE metric = ? AND version = ?";
pub(super) const ROWS: &str = "packed_cells (metric, version, window_start, bucket, depth, states, cells)";
pub(super) const UPDATE: &str = "ON CONFLICT (metric, version, window_start, bucket) DO UPDATE SET depth = excluded.depth, \
     states = excluded.states, cells = excluded.cells";

/// A row of a window.
#[derive(Debug, Clone)]
pub(super) struct PackedRow {
    pub(super) start: Timestamp,
    bucket: i64,
    depth: u32,
    /// The shape of its totals, as JSON.
    states: Arc<str>,
    pub(super) cells: String,
}

/// Writes gathered totals. What is stored and reaches further stays.
pub(in crate::store) async fn write(connection: &mut AnyConnection, cells: &FoldedCells) -> Result<(), Error> {
    let unpacked = Unpacked::look(connection).await?;
    for (version, windows) in cells.versions() {
        let windows: Vec<_> = windows.iter().map(|(start, cells)| (*start, Cow::Borrowed(cells))).collect();
        for block in windows.chunks(WINDOWS) {
            let mut block = block.to_vec();
            unpacked.take_over(connection, version, &mut block).await?;
            write_block(connection, version, &block).await?;
        }
    }
    Ok(())
}

pub(super) async fn write_block(
    connection: &mut AnyConnection,
    version: &VersionName,
    windows: &[(Timestamp, Cow<'_, WindowStates>)],
) -> Result<(), Error> {
    let starts = windows.iter().map(|(start, _)| start.millis());
    let sql = format!("{ROW} AND bucket = 0 AND window_start IN (?)");
    let found = for_keys(connection, &sql, &named(version), starts).await?;
    let mut first: HashMap<Timestamp, PackedRow> = HashMap::with_capacity(found.len());
    for row in &found {
        let row = packed_row(row)?;
        first.insert(row.start, row);
    }
    let mut rows = Vec::with_capacity(windows.len());
    for (start, cells) in windows {
        let Some(any) = cells.values().next() else { continue };
        let known = first.remove(start);
        let row = known.map_or_else(|| PackedRow::empty(*start, any), Ok)?;
        match row.depth {
            0 => add_to_one(row, cells, &mut rows)?,
            _ => add_to_many(connection, version, row, cells, &mut rows).await?,
        }
    }
    let rows = rows.into_iter().map(|row: PackedRow| row.values(version));
    insert_rows(connection, ROWS, UPDATE, rows).await?;
    Ok(())
}

impl PackedRow {
    /// The first of a window that has none, for totals like these.
    fn empty(start: Timestamp, like: &CellState) -> Result<Self, Error> {
        let states = serde_json::to_string(&TotalsShape::of(&like.totals)).map_err(|_| Error::Malformed("states"))?;
        Ok(Self { start, bucket: 0, depth: 0, states: states.into(), cells: String::new() })
    }

    /// The same with other cells.
    pub(super) fn with(self, cells: String) -> Self {
        Self { cells, ..self }
    }

    /// What a statement binds.
    pub(super) fn values(self, version: &VersionName) -> SqlValues {
        let Self { start, bucket, depth, states, cells } = self;
        named(version).bind(start.millis()).bind(bucket).bind(i64::from(depth)).bind(states.to_string()).bind(cells)
    }

    pub(super) fn shape(&self) -> Result<TotalsShape, Error> {
        serde_json::from_str(&self.states).map_err(|_| Error::Malformed("states"))
    }

    /// Adds states to it; what does not fit any more is parted.
    fn merged<'s>(
        self,
        states: impl ExactSizeIterator<Item = (&'s (Arc<str>, Partition), &'s CellState)>,
    ) -> Result<(Self, MergedLines), Error> {
        let merged = merge(&self.cells, &self.shape()?, states)?;
        Ok((Self { cells: String::new(), ..self }, merged))
    }
}

fn add_to_one(row: PackedRow, cells: &WindowStates, rows: &mut Vec<PackedRow>) -> Result<(), Error> {
    let (row, merged) = row.merged(cells.iter())?;
    if merged.count > CELLS {
        part(PackedRow { cells: merged.text, ..row }, depth_for(0, merged.count), rows)
    } else {
        rows.extend(merged.is_changed.then_some(PackedRow { cells: merged.text, ..row }));
        Ok(())
    }
}

/// Adds to a window of several rows.
async fn add_to_many(
    connection: &mut AnyConnection,
    version: &VersionName,
    first: PackedRow,
    cells: &WindowStates,
    rows: &mut Vec<PackedRow>,
) -> Result<(), Error> {
    let (start, depth) = (first.start, first.depth);
    let mut changes: BTreeMap<i64, Vec<CellInRow<'_>>> = BTreeMap::new();
    for change in cells {
        changes.entry(bucket_of(&change.0.0, depth)).or_default().push(change);
    }
    let touched = changes.keys().copied();
    let mut known = read_rows(connection, version, start, Some(touched.collect())).await?;
    let blank = |bucket| PackedRow { bucket, cells: String::new(), ..first.clone() };
    let (mut deeper, mut merged_rows) = (depth, Vec::with_capacity(changes.len()));
    for (bucket, states) in changes {
        let row = known.remove(&bucket).unwrap_or_else(|| blank(bucket));
        let (row, merged) = row.merged(states.into_iter())?;
        if merged.count > CELLS {
            deeper = deeper.max(depth_for(depth, merged.count));
        }
        if merged.is_changed {
            merged_rows.push(PackedRow { cells: merged.text, ..row });
        }
    }
    if deeper == depth {
        rows.extend(merged_rows);
        return Ok(());
    }
    // All rows of the window part: which one a cell is in follows from the depth.
    let mut all = read_rows(connection, version, start, None).await?;
    all.extend(merged_rows.into_iter().map(|row| (row.bucket, row)));
    all.into_values().try_for_each(|row| part(row, deeper, rows))
}

/// Parts a row into those that it has at a depth. Its own number is one of them.
fn part(row: PackedRow, depth: u32, rows: &mut Vec<PackedRow>) -> Result<(), Error> {
    let mut parts = parted(&row.cells, depth)?;
    parts.entry(row.bucket).or_default();
    rows.extend(parts.into_iter().map(|(bucket, cells)| PackedRow { bucket, depth, cells, ..row.clone() }));
    Ok(())
}

/// How deep a window is to be whose row has so many cells: they are half of what
/// a row takes then.
fn depth_for(depth: u32, count: usize) -> u32 {
    let more = (count / (CELLS / 2)).max(2).ilog2() + 1;
    (depth + more).min(DEEPEST)
}

/// Rows of a window: these, or all.
async fn read_rows(
    connection: &mut AnyConnection,
    version: &VersionName,
    start: Timestamp,
    buckets: Option<BTreeSet<i64>>,
) -> Result<HashMap<i64, PackedRow>, Error> {
    let found = match buckets {
        Some(buckets) => {
            let sql = format!("{ROW} AND window_start = ? AND bucket IN (?)");
            for_keys(connection, &sql, &named(version).bind(start.millis()), buckets).await?
        }
        None => {
            for_keys(connection, &format!("{ROW} AND window_start IN (?)"), &named(version), [start.millis()]).await?
        }
    };
    found.iter().map(|row| packed_row(row).map(|row| (row.bucket, row))).collect()
}

pub(super) fn packed_row(row: &AnyRow) -> Result<PackedRow, Error> {
    Ok(PackedRow {
        start: time(row.try_get(0)?),
        bucket: row.try_get(1)?,
        depth: u32::try_from(row.try_get::<i64, _>(2)?).map_err(|_| Error::Malformed("depth"))?,
        states: row.try_get::<&str, _>(3)?.into(),
        cells: row.try_get(4)?,
    })
}
