//! Windows that an earlier release stored as rows of their own become parts of
//! pages: those that change, and some more with each checkpoint.

use std::collections::{HashMap, HashSet};

use sqlx::{AnyConnection, AssertSqlSafe};
use tidemill_domain::Partition;
use tidemill_store::{Error as StoreError, SqlValues, for_keys};

use super::fresh::{FreshCells, UnwrittenCell, windows};
use crate::{
    fold::{cell::CellId, changes::PartitionChanges},
    store::{
        cell_id,
        read::{CELL, time, update},
        rows::delete_cells,
        unsigned,
    },
};

/// The cells of a checkpoint, with rows that they take the place of, and further
/// ones that are no more. Answers from which end of a window on there may be some.
pub(super) async fn take_over(
    connection: &mut AnyConnection,
    changes: &PartitionChanges,
    from: i64,
    most: i64,
) -> Result<(FreshCells, Option<i64>), StoreError> {
    let old = old_rows(connection, changes.partition, from, most).await?;
    let (mut cells, changed_at) = (FreshCells::default(), changes.published_at().millis());
    let ids: HashSet<CellId> = windows(changes).map(|cell| cell.id).collect();
    let mut seen = seen_values(connection, ids.iter().chain(old.rows.iter().map(|(id, ..)| id)).copied()).await?;
    for cell in windows(changes) {
        let seen_before = seen.remove(&cell.id).unwrap_or_default();
        let (id, update, raw_seq, fresh) = (cell.id, &cell.update, cell.raw_seq, cell.fresh.as_slice());
        cells.push(UnwrittenCell { id, update, raw_seq, changed_at, fresh, seen_before })?;
    }
    for (id, update, raw_seq, changed_at) in old.rows.iter().filter(|(id, ..)| !ids.contains(id)) {
        let (id, raw_seq, changed_at) = (*id, *raw_seq, *changed_at);
        let seen_before = seen.remove(&id).unwrap_or_default();
        cells.push(UnwrittenCell { id, update, raw_seq, changed_at, fresh: &[], seen_before })?;
    }
    cells.sort();
    let gone: Vec<CellId> = ids.iter().chain(old.rows.iter().map(|(id, ..)| id)).copied().collect();
    delete_cells(connection, &gone).await?;
    Ok((cells, old.next_from))
}

struct OldRows {
    rows: Vec<(CellId, tidemill_events::CellUpdate, u64, i64)>,
    next_from: Option<i64>,
}

async fn old_rows(
    connection: &mut AnyConnection,
    partition: Partition,
    from: i64,
    most: i64,
) -> Result<OldRows, StoreError> {
    let sql = format!(
        "SELECT {CELL}, changed_at FROM cells WHERE partition = $1 AND window_end >= $2 AND session_group IS NULL \
         ORDER BY window_end LIMIT $3"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(partition.index())).bind(from).bind(most);
    let stored = query.fetch_all(&mut *connection).await?;
    let mut rows = Vec::with_capacity(stored.len());
    for row in &stored {
        rows.push((cell_id(row, 0)?, update(row)?, unsigned(row, 7)?, time(row, 10)?.millis()));
    }
    let last = rows.last().map(|(_, update, ..)| update.end.millis());
    Ok(OldRows { next_from: last.filter(|_| stored.len() as i64 == most), rows })
}

async fn seen_values(
    connection: &mut AnyConnection,
    ids: impl Iterator<Item = CellId>,
) -> Result<HashMap<CellId, Vec<u8>>, StoreError> {
    let sql = "SELECT cell, hashes FROM seen_values WHERE cell IN (?)";
    let mut seen: HashMap<CellId, Vec<u8>> = HashMap::new();
    for row in for_keys(connection, sql, &SqlValues::new(), ids.map(|id| id.to_vec())).await? {
        let hashes: Vec<u8> = sqlx::Row::try_get(&row, 1)?;
        seen.entry(cell_id(&row, 0)?).or_default().extend(hashes);
    }
    Ok(seen)
}
