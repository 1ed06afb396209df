//! Everything that is stored of windows, with positions and tombstones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sqlx::Row;
use tidemill_domain::Timestamp;
use tidemill_store::{Error, for_keys};
use tidemill_totals::Totals;

use super::{
    cell::{KnownShape, text},
    lines,
    unpacked::{self, named},
};
use crate::{
    read_model::{CellState, VersionName, WindowStates, keep_furthest, keep_unless_further},
    store::{
        Store,
        kept::kept_of,
        sql::{BATCH, time},
    },
};

impl Store {
    /// The totals of windows of a version, by their first instants: the stream's and those
    /// of a batch view, whichever reaches further.
    pub(crate) async fn window_states(
        &self,
        version: &VersionName,
        starts: &BTreeSet<Timestamp>,
    ) -> Result<BTreeMap<Timestamp, WindowStates>, Error> {
        const PACKED: &str = "SELECT window_start, states, cells FROM packed_cells \
            WHERE metric = ? AND version = ? AND window_start IN (?)";
        let mut connection = self.database.pool().acquire().await?;
        let kept = kept_of(&mut connection, (&version.0, &version.1)).await?;
        let starts = starts.iter().filter(|start| kept.is_none_or(|kept| **start >= kept));
        let millis: Vec<i64> = starts.map(|start| start.millis()).collect();
        let mut windows: BTreeMap<Timestamp, WindowStates> = BTreeMap::new();
        // In this order: a fold moves totals from one table to the other.
        for (start, key, state) in unpacked::states(&mut connection, version, &millis).await? {
            keep_furthest(windows.entry(start).or_default(), key, state);
        }
        // Behind the stream's, since of two that reach as far the view's is served.
        let of_batch = (version.0.clone(), format!("{}{BATCH}", version.1).into());
        for version in [version, &of_batch] {
            for row in for_keys(&mut connection, PACKED, &named(version), millis.iter().copied()).await? {
                let window = windows.entry(time(row.try_get(0)?)).or_default();
                add_lines(window, text(&row, 1)?, text(&row, 2)?)?;
            }
        }
        Ok(windows)
    }
}

/// Adds the lines of a row to what is known of its window.
fn add_lines(window: &mut WindowStates, states: &str, cells: &str) -> Result<(), Error> {
    let mut shapes = KnownShape::default();
    let shape = shapes.read(states)?;
    let mut known: Option<Arc<str>> = None;
    for line in lines(cells) {
        let line = line?;
        let dimensions = known.take_if(|known| **known == *line.dimensions);
        let dimensions = dimensions.unwrap_or_else(|| line.dimensions.into());
        let totals = line.totals(shape)?;
        let state = CellState {
            end: line.end,
            raw_seq: line.raw_seq,
            retracted: totals.is_none(),
            totals: totals.unwrap_or_else(|| Totals(Vec::new())),
        };
        keep_unless_further(window, (dimensions.clone(), line.partition()), state);
        known = Some(dimensions);
    }
    Ok(())
}
