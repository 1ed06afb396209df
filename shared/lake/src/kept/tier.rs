//! Folders of a table into the same table at another place, where old rows are kept.
//!
//! A folder is copied, and then taken out of the table here: two versions of two tables.
//! In between the rows are in both. Which of them count is told by the rows here: all that are
//! there are moved at once, and no event comes into a table twice. So a row there counts if no row
//! of its event is here. That holds before, between and behind the two versions, and whatever
//! comes into the folder later, in whatever order.

use deltalake::{
    DeltaTable,
    datafusion::{
        common::ScalarValue,
        logical_expr::Expr,
        prelude::{DataFrame, ident, lit},
    },
    kernel::Remove,
    protocol::DeltaOperation,
};

use super::{
    CompactionGoal, KeptTable,
    events::without_events_of,
    exchange::Exchange,
    files::{FolderValues, TableFile, folders},
    retention::Retention,
    rewrite::{Rewrite, RowSource},
};
use crate::{error::LakeError, write::FileKind};

/// What became of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Rows that it has there.
    pub rows: u64,
    /// Files that it has no more here.
    pub files: usize,
}

impl KeptTable {
    /// Moves one folder that is over to the same table at another place; nothing where
    /// there is none. Call it until nothing is left. What is there of the folder is
    /// written anew with it.
    ///
    /// # Errors
    /// A store did not do it, or rows would have changed. To call it again is always
    /// right.
    pub async fn move_old(
        &mut self,
        there: &mut KeptTable,
        over: Retention,
        goal: CompactionGoal,
    ) -> Result<Moved, LakeError> {
        self.try_move_old(there, over, goal).await.map_err(|error| error.of(&self.name))
    }

    async fn try_move_old(
        &mut self,
        there: &mut KeptTable,
        over: Retention,
        goal: CompactionGoal,
    ) -> Result<Moved, LakeError> {
        // In this order: whoever copies later has all that an earlier one takes out here.
        there.refresh().await?;
        self.refresh().await?;
        there.has_columns_of(self)?;
        let old = folders(&self.table).await?.into_iter().find(|(folder, files)| over.is_over(folder, files));
        let Some((folder, here)) = old else { return Ok(Moved::default()) };
        let known = folders(&there.table).await?.remove(&folder).unwrap_or_default();
        let here_rows = RowSource::of(&self.table, &here);
        let rewrite = Rewrite {
            sources: vec![here_rows.clone(), RowSource::of(&there.table, &known).without(here_rows)],
            into: &there.table,
            folder: &folder,
            sorted_by: &self.sorted_by,
            looked_up_by: &self.looked_up_by,
            kind: FileKind::Cold,
            file_bytes: goal.file_bytes,
        };
        let rewritten = rewrite.make().await?;
        let arrives = Exchange { removed: removed(&known), added: rewritten.added, transactions: Vec::new() };
        // Only as the next version: somebody else may have copied the same folder.
        if !arrives.commit(&there.table, DeltaOperation::Delete { predicate: None }).await? {
            return Ok(Moved::default());
        }
        let leaves = Exchange { removed: removed(&here), ..Exchange::default() };
        // Files that were exchanged meanwhile are left to the next time.
        let is_moved = self.exchange(&here, leaves, DeltaOperation::Delete { predicate: None }).await?;
        Ok(if is_moved { Moved { rows: rewritten.rows, files: here.len() } } else { Moved::default() })
    }
}

fn removed(files: &[TableFile]) -> Vec<Remove> {
    files.iter().map(|file| Remove { data_change: true, ..file.removal.clone() }).collect()
}

/// The rows of a table here and at the other place as one, each once.
///
/// # Errors
/// The store is away, or a table cannot be read.
pub async fn rows_of_both(
    [(here, rows_here), (there, rows_there)]: [(&DeltaTable, DataFrame); 2],
) -> Result<DataFrame, LakeError> {
    let moved = folders(there).await?;
    let of_both = folders(here).await?.into_keys().filter(|folder| moved.contains_key(folder)).map(is_in_folder);
    let rows_there = match of_both.reduce(Expr::or) {
        Some(is_in_both) => {
            let folder = here.snapshot()?.metadata().partition_columns().to_vec();
            without_events_of(rows_there, rows_here.clone().filter(is_in_both)?, &folder)?
        }
        // Mostly so.
        None => rows_there,
    };
    // One of them may have a column that the other has not got yet.
    Ok(rows_here.union_by_name(rows_there)?)
}

fn is_in_folder(folder: FolderValues) -> Expr {
    folder.into_iter().fold(lit(true), |all, (column, value)| {
        let value = value.and_then(|value| value.parse::<i32>().ok());
        all.and(ident(column).eq(lit(ScalarValue::Int32(value))))
    })
}
