//! Totals as releases wrote them that had a row for each. They are read as they
//! are; what a fold touches, it takes over.

use std::{borrow::Cow, sync::Arc};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error, SqlValues, for_keys};

use crate::{
    read_model::{CellState, VersionName, WindowStates, keep_furthest},
    store::sql::{partition, time, unsigned},
};

const OF: &str = "FROM unpacked_cells WHERE metric = ? AND version = ? AND window_start IN (?)";
const STATE: &str = "SELECT window_start, dimensions, shard, window_end, raw_seq, totals, retracted";

/// Whether there are any.
pub(super) struct Unpacked(bool);

impl Unpacked {
    pub(super) async fn look(connection: &mut AnyConnection) -> Result<Self, Error> {
        let any = sqlx::query("SELECT 1 FROM unpacked_cells LIMIT 1").fetch_optional(connection).await?;
        Ok(Self(any.is_some()))
    }

    /// Adds what is stored of these windows to what is to be written of them, and
    /// deletes it.
    pub(super) async fn take_over(
        &self,
        connection: &mut AnyConnection,
        version: &VersionName,
        windows: &mut [(Timestamp, Cow<'_, WindowStates>)],
    ) -> Result<(), Error> {
        if !self.0 {
            return Ok(());
        }
        let starts: Vec<i64> = windows.iter().map(|(start, _)| start.millis()).collect();
        let found = states(connection, version, &starts).await?;
        if found.is_empty() {
            return Ok(());
        }
        for (start, key, state) in found {
            let Ok(place) = windows.binary_search_by_key(&start, |(start, _)| *start) else { continue };
            keep_furthest(windows[place].1.to_mut(), key, state);
        }
        for_keys(connection, &format!("DELETE {OF}"), &named(version), starts).await?;
        Ok(())
    }
}

/// What a statement binds first.
pub(super) fn named((metric, version): &VersionName) -> SqlValues {
    SqlValues::new().bind(metric.to_string()).bind(version.to_string())
}

/// A total: its window, its place in that, and itself.
type StoredTotal = (Timestamp, (Arc<str>, Partition), CellState);

/// The totals of windows.
pub(super) async fn states(
    connection: &mut AnyConnection,
    version: &VersionName,
    starts: &[i64],
) -> Result<Vec<StoredTotal>, Error> {
    let rows = for_keys(connection, &format!("{STATE} {OF}"), &named(version), starts.iter().copied()).await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &AnyRow) -> Result<StoredTotal, Error> {
    let key = (row.try_get::<&str, _>(1)?.into(), partition(row.try_get(2)?)?);
    let state = CellState {
        end: time(row.try_get(3)?),
        raw_seq: unsigned(row, 4)?,
        totals: serde_json::from_str(row.try_get(5)?).map_err(|_| Error::Malformed("total"))?,
        retracted: row.try_get::<i64, _>(6)? != 0,
    };
    Ok((time(row.try_get(0)?), key, state))
}
