//! The list of what changed in cells, for replicas that made none of the changes.

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_store::Error;

use super::{
    Store,
    sql::{time, unsigned},
};
use crate::read_model::{FoldedCells, MergedCellKey};

/// Cells that a change lists at most. A larger one lists none.
const LISTED: usize = 2000;
/// Changes that are kept: a minute of them and more, for replicas that look
/// every second.
const CHANGES_KEPT: u64 = 300;

/// Cells that one fold changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellChange {
    /// Changes are numbered without gaps.
    pub(crate) number: u64,
    /// The cells; `None` where they are too many to list.
    pub(crate) cells: Option<Vec<MergedCellKey>>,
}

/// Notes which cells a fold changes, and forgets old notes; answers the number
/// of the note. The fold holds its unit's position, so the numbers have no
/// gaps.
pub(super) async fn note_change(connection: &mut AnyConnection, cells: &FoldedCells) -> Result<Option<u64>, Error> {
    match cells.changed().next() {
        None => Ok(None),
        Some(_) => number_change(connection, cells).await.map(Some),
    }
}

/// The same, also where it changes no cell.
pub(super) async fn number_change(connection: &mut AnyConnection, cells: &FoldedCells) -> Result<u64, Error> {
    let changed: Vec<MergedCellKey> = cells.changed().take(LISTED + 1).collect();
    let listed = match changed.len() {
        0..=LISTED => {
            let cells: Vec<_> =
                changed.iter().map(|key| (&*key.metric, &*key.version, key.start.millis(), &*key.dimensions)).collect();
            serde_json::to_string(&cells).map_err(|_| Error::Malformed("change"))?
        }
        _ => String::new(),
    };
    let number = sqlx::query(
        "INSERT INTO changes (number, cells) SELECT COALESCE(MAX(number), 0) + 1, $1 FROM changes RETURNING number",
    )
    .bind(listed)
    .fetch_one(&mut *connection)
    .await?;
    let number = unsigned(&number, 0)?;
    sqlx::query("DELETE FROM changes WHERE number <= $1")
        .bind(number.saturating_sub(CHANGES_KEPT).cast_signed())
        .execute(connection)
        .await?;
    Ok(number)
}

impl Store {
    /// The number of the last change to cells.
    pub(super) async fn last_change(&self) -> Result<u64, Error> {
        let newest = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM changes");
        unsigned(&newest.fetch_one(self.database.pool()).await?, 0)
    }

    /// The changes to cells after one of them, in their order.
    pub(crate) async fn changes_after(&self, number: u64) -> Result<Vec<CellChange>, Error> {
        let rows = sqlx::query("SELECT number, cells FROM changes WHERE number > $1 ORDER BY number")
            .bind(number.cast_signed())
            .fetch_all(self.database.pool())
            .await?;
        let change = |row: &AnyRow| {
            let cells = match row.try_get::<&str, _>(1)? {
                "" => None,
                listed => Some(listed_cells(listed)?),
            };
            Ok(CellChange { number: unsigned(row, 0)?, cells })
        };
        rows.iter().map(change).collect()
    }
}

fn listed_cells(listed: &str) -> Result<Vec<MergedCellKey>, Error> {
    let cells: Vec<(String, String, i64, String)> =
        serde_json::from_str(listed).map_err(|_| Error::Malformed("change"))?;
    let key = |(metric, version, start, dimensions): (String, String, i64, String)| MergedCellKey {
        metric: metric.into(),
        version: version.into(),
        start: time(start),
        dimensions: dimensions.into(),
    };
    Ok(cells.into_iter().map(key).collect())
}
