//! Takes totals of batch views into the rows of windows, and retires what of the stream
//! they cover.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use sqlx::{AnyConnection, Row};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error, for_keys, insert_rows};
use tidemill_totals::{Totals, TotalsShape};

use super::{
    lines::{lines, without},
    unpacked::{Unpacked, named},
    write::{PackedRow, ROW, ROWS, UPDATE, packed_row, write_block},
};
use crate::{
    batch::{SettledWindow, StoredSides, StreamCounted, settle, sweep},
    read_model::{CellState, VersionName, WindowStates},
    store::sql::{BATCH, time},
};

/// Windows that are read and written at once.
const WINDOWS: usize = 64;

/// The rows of a version of a metric, the stream's and those of its batch views.
pub(in crate::store) struct BatchWriter<'c> {
    connection: &'c mut AnyConnection,
    version: VersionName,
    of_batch: VersionName,
    counted: StreamCounted,
}

/// The windows of a view that has come to its end.
#[derive(Debug, Clone)]
pub(in crate::store) struct WindowScope<'r> {
    /// They start between these times, the second exclusive.
    pub(in crate::store) bounds: (Timestamp, Timestamp),
    /// By partition, how far the view reaches.
    pub(in crate::store) reaches: &'r BTreeMap<Partition, u64>,
}

/// The rows of a window.
#[derive(Default)]
struct WindowRows {
    speed: Vec<PackedRow>,
    batch: Vec<PackedRow>,
}

impl<'c> BatchWriter<'c> {
    pub(in crate::store) fn new(
        connection: &'c mut AnyConnection,
        version: VersionName,
        counted: StreamCounted,
    ) -> Self {
        let of_batch = (version.0.clone(), format!("{}{BATCH}", version.1).into());
        Self { connection, version, of_batch, counted }
    }

    /// Takes the totals of a view in, window by window; tells what became of each window.
    pub(in crate::store) async fn land(
        &mut self,
        windows: &BTreeMap<Timestamp, WindowStates>,
        mut each: impl FnMut(Timestamp, SettledWindow),
    ) -> Result<(), Error> {
        let starts: Vec<Timestamp> = windows.keys().copied().collect();
        for block in starts.chunks(WINDOWS) {
            self.take_over(block).await?;
            let mut rows = self.rows(block).await?;
            let mut taken = Vec::new();
            for start in block {
                let (rows, incoming) = (rows.remove(start).unwrap_or_default(), &windows[start]);
                let settled = settle(*start, &rows.known(Some(incoming))?, incoming, &self.counted);
                taken.push((*start, Cow::Owned(settled.taken.clone())));
                self.remove(*start, rows, &settled).await?;
                each(*start, settled);
            }
            write_block(self.connection, &self.of_batch, &taken).await?;
        }
        Ok(())
    }

    /// Looks at what is left of the stream in the windows of a view that has come to its end.
    pub(in crate::store) async fn sweep(
        &mut self,
        scope: &WindowScope<'_>,
        mut each: impl FnMut(Timestamp, SettledWindow),
    ) -> Result<(), Error> {
        let mut from = scope.bounds.0;
        loop {
            let block = self.next_windows(from, scope.bounds.1).await?;
            let Some(last) = block.last() else { return Ok(()) };
            from = last.plus_millis(1);
            let mut rows = self.rows(&block).await?;
            for start in block {
                let rows = rows.remove(&start).unwrap_or_default();
                let settled = sweep(start, &rows.known(None)?, scope.reaches, &self.counted);
                self.remove(start, rows, &settled).await?;
                each(start, settled);
            }
        }
    }

    /// Packs what releases have left that had a row for each total.
    async fn take_over(&mut self, starts: &[Timestamp]) -> Result<(), Error> {
        let mut windows: Vec<_> = starts.iter().map(|start| (*start, Cow::Owned(WindowStates::new()))).collect();
        Unpacked::look(self.connection).await?.take_over(self.connection, &self.version, &mut windows).await?;
        windows.retain(|(_, states)| !states.is_empty());
        write_block(self.connection, &self.version, &windows).await
    }

    async fn rows(&mut self, starts: &[Timestamp]) -> Result<BTreeMap<Timestamp, WindowRows>, Error> {
        let sql = format!("{ROW} AND window_start IN (?)");
        let mut windows: BTreeMap<Timestamp, WindowRows> = BTreeMap::new();
        let millis = || starts.iter().map(|start| start.millis());
        for row in &for_keys(self.connection, &sql, &named(&self.version), millis()).await? {
            let row = packed_row(row)?;
            windows.entry(row.start).or_default().speed.push(row);
        }
        for row in &for_keys(self.connection, &sql, &named(&self.of_batch), millis()).await? {
            let row = packed_row(row)?;
            windows.entry(row.start).or_default().batch.push(row);
        }
        Ok(windows)
    }

    /// The next windows that the stream has something of.
    async fn next_windows(&mut self, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>, Error> {
        let sql = "SELECT DISTINCT window_start FROM packed_cells WHERE metric = $1 AND version = $2
             AND window_start >= $3 AND window_start < $4 ORDER BY window_start LIMIT $5";
        let query = sqlx::query(sql).bind(self.version.0.to_string()).bind(self.version.1.to_string());
        let query = query.bind(from.millis()).bind(to.millis()).bind(i64::try_from(WINDOWS).unwrap_or(i64::MAX));
        query.fetch_all(&mut *self.connection).await?.iter().map(|row| Ok(time(row.try_get(0)?))).collect()
    }

    async fn remove(&mut self, start: Timestamp, rows: WindowRows, settled: &SettledWindow) -> Result<(), Error> {
        let WindowRows { speed, batch } = rows;
        remove(self.connection, &self.version, start, speed, &settled.retired).await?;
        remove(self.connection, &self.of_batch, start, batch, &settled.given_up).await
    }
}

impl WindowRows {
    /// The totals of some cells and partitions, or of all.
    fn known(&self, only: Option<&WindowStates>) -> Result<StoredSides, Error> {
        let only: Option<BTreeSet<(&str, Partition)>> =
            only.map(|states| states.keys().map(|(dimensions, partition)| (&**dimensions, *partition)).collect());
        Ok(StoredSides { speed: states(&self.speed, only.as_ref())?, batch: states(&self.batch, only.as_ref())? })
    }
}

fn states(rows: &[PackedRow], only: Option<&BTreeSet<(&str, Partition)>>) -> Result<WindowStates, Error> {
    let mut states = WindowStates::new();
    for row in rows {
        let shape: TotalsShape = row.shape()?;
        for line in lines(&row.cells) {
            let line = line?;
            let place = (line.dimensions, line.partition());
            if only.is_some_and(|only| !only.contains(&place)) {
                continue;
            }
            let totals = line.totals(&shape)?;
            let (end, raw_seq, retracted) = (line.end, line.raw_seq, totals.is_none());
            let totals = totals.unwrap_or_else(|| Totals(Vec::new()));
            states.insert((place.0.into(), place.1), CellState { end, raw_seq, totals, retracted });
        }
    }
    Ok(states)
}

/// Takes cells out of the rows of a window.
async fn remove(
    connection: &mut AnyConnection,
    version: &VersionName,
    start: Timestamp,
    rows: Vec<PackedRow>,
    gone: &BTreeSet<(std::sync::Arc<str>, Partition)>,
) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let gone = gone.iter().map(|(dimensions, partition)| (&**dimensions, *partition)).collect();
    let (mut left, mut changed) = (0, Vec::new());
    for row in rows {
        let (cells, count) = without(&row.cells, &gone)?;
        left += count;
        if cells.len() != row.cells.len() {
            changed.push(row.with(cells));
        }
    }
    if left == 0 {
        let sql = "DELETE FROM packed_cells WHERE metric = $1 AND version = $2 AND window_start = $3";
        let query = sqlx::query(sql).bind(version.0.to_string()).bind(version.1.to_string()).bind(start.millis());
        query.execute(connection).await?;
        return Ok(());
    }
    let rows = changed.into_iter().map(|row| row.values(version));
    insert_rows(connection, ROWS, UPDATE, rows).await?;
    Ok(())
}
