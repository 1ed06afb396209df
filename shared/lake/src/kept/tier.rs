//! Folders of a table into the same table at another place, where old rows are kept.
//!
//! A folder is copied, and then taken out of the table here: two versions of two tables.
//! In between the rows are in both. Which of them count is told by the rows here: within
//! a folder and a partition of the log, rows come in the order of their sequences, and all
//! that are there are moved at once. So a row there counts if its sequence is below the
//! first one that is still here. That holds before, between and behind the two versions.

use std::collections::BTreeMap;

use deltalake::{
    DeltaTable,
    arrow::{
        array::AsArray,
        datatypes::{Int32Type, Int64Type},
    },
    datafusion::{
        common::ScalarValue,
        functions_aggregate::expr_fn::min,
        logical_expr::Expr,
        prelude::{ident, lit},
    },
    kernel::Remove,
    protocol::DeltaOperation,
};

use super::{
    CompactionGoal, KeptTable,
    exchange::Exchange,
    files::{TableFile, folders},
    retention::Retention,
    rewrite::{Rewrite, RowSource},
};
use crate::{error::LakeError, write::FileKind};

/// The column of the partition of the log, and that of the sequence in it.
const PARTITION: &str = "partition";
const SEQUENCE: &str = "raw_seq";

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
        let first = first_here(&self.table, &here).await?;
        let rewrite = Rewrite {
            sources: vec![RowSource::of(&self.table, &here), RowSource::of(&there.table, &known).only(counts(&first))],
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

/// By partition of the log, the first sequence that files of a table have.
async fn first_here(table: &DeltaTable, files: &[TableFile]) -> Result<BTreeMap<i32, i64>, LakeError> {
    let source = RowSource::of(table, files);
    let first = source.all().await?.aggregate(vec![ident(PARTITION)], vec![min(ident(SEQUENCE)).alias(SEQUENCE)])?;
    let mut sequences = BTreeMap::new();
    for batch in first.collect().await? {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let firsts = batch.column(1).as_primitive::<Int64Type>();
        sequences.extend(partitions.values().iter().copied().zip(firsts.values().iter().copied()));
    }
    Ok(sequences)
}

/// Whether a row there counts, of a folder whose rows here begin with these sequences.
fn counts(first: &BTreeMap<i32, i64>) -> Expr {
    let of_partition = |partition: i32| ident(PARTITION).eq(lit(partition));
    first.iter().fold(lit(true), |all, (partition, first)| {
        all.and(of_partition(*partition).and(ident(SEQUENCE).gt_eq(lit(*first))).is_not_true())
    })
}

/// Which rows of a table at the other place count; all of them where it is `None`.
///
/// # Errors
/// The store is away, or a table cannot be read.
pub async fn counts_there(here: &DeltaTable, there: &DeltaTable) -> Result<Option<Expr>, LakeError> {
    let moved = folders(there).await?;
    let mut all: Option<Expr> = None;
    for (folder, files) in folders(here).await? {
        if !moved.contains_key(&folder) {
            continue;
        }
        let is_in_folder = folder.iter().fold(lit(true), |all, (column, value)| {
            let value = value.as_deref().and_then(|value| value.parse::<i32>().ok());
            all.and(ident(column).eq(lit(ScalarValue::Int32(value))))
        });
        let counted = is_in_folder.is_not_true().or(counts(&first_here(here, &files).await?));
        all = Some(match all {
            Some(others) => others.and(counted),
            None => counted,
        });
    }
    Ok(all)
}
