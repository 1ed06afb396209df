//! Changes of orders into the table of orders, each exactly once.
//!
//! As with rows that are appended, a commit says how far the log is, and what the table
//! has already is left out. What is left is added up by order and currency, and added to
//! what is there: amounts of two currencies are never added.

mod files;
mod index;
mod sums;
#[cfg(test)]
mod tests;

use deltalake::{
    arrow::{array::RecordBatch, compute::concat_batches},
    protocol::DeltaOperation,
};

pub(crate) use self::sums::orders_of;
use self::{files::merge_actions, index::OrderIndex};
use crate::{
    append::{Appended, Commit, TRIES, TablePart, apps_of, pause},
    error::{LakeError, LakeErrorKind},
    progress::{AppId, Reached},
    schema::arrow_schema,
    table::LakeTable,
    tables::OrderChange,
};

/// What a row is of, as the history of the table tells it.
const SAME: &str = "same partition, order_id and currency";

/// Keeps the table of orders.
#[derive(Debug)]
pub struct OrderKeeper {
    table: LakeTable,
    index: OrderIndex,
}

impl OrderKeeper {
    /// Of this table.
    pub fn new(table: LakeTable) -> Self {
        Self { table, index: OrderIndex::default() }
    }

    /// How far the table is.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn reached(&mut self, app: &AppId) -> Result<i64, LakeError> {
        self.table.refresh().await?;
        let reached = self.table.reached([app.clone()]).await?;
        Ok(reached.get(app).copied().unwrap_or_default())
    }

    /// As [`LakeTable::checkpoint`].
    ///
    /// # Errors
    /// The store did not do it; the table is as it was.
    pub async fn checkpoint(&mut self) -> Result<usize, LakeError> {
        self.table.checkpoint().await
    }

    /// Takes changes in one version in, without what is in the table already.
    ///
    /// # Errors
    /// The store did not do it, or did not say so: to call it again with the same
    /// parts is always right.
    pub async fn apply(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        let applied = self.try_apply(parts).await;
        applied.map_err(|error| error.of(self.table.definition()))
    }

    async fn try_apply(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        for conflicts in 0..TRIES {
            self.table.refresh().await?;
            let reached = self.table.reached(apps_of(parts)).await?;
            let version = self.table.version();
            let commit = Commit { parts, reached: &reached };
            if commit.is_done() {
                return Ok(Appended { version, rows: 0, conflicts });
            }
            let changes = changes_behind(parts, &reached)?;
            let rows = changes.num_rows();
            let made = match rows {
                0 => commit.make(&self.table, Vec::new()).await?,
                _ => self.merge(&changes, &commit).await?,
            };
            if let Some(version) = made {
                return Ok(Appended { version, rows, conflicts });
            }
            pause(conflicts).await;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    /// Makes the next version; `None` where somebody else was first.
    async fn merge(&mut self, changes: &RecordBatch, commit: &Commit<'_>) -> Result<Option<u64>, LakeError> {
        let actions = merge_actions(self.table.delta(), &mut self.index, changes).await?;
        let operation = DeltaOperation::Merge {
            predicate: None,
            merge_predicate: Some(SAME.to_owned()),
            matched_predicates: Vec::new(),
            not_matched_predicates: Vec::new(),
            not_matched_by_source_predicates: Vec::new(),
        };
        commit.make_as(&self.table, actions, operation).await
    }
}

/// The changes that the table has not.
fn changes_behind(parts: &[TablePart], reached: &Reached) -> Result<RecordBatch, LakeError> {
    let behind = |part: &TablePart| part.rows_behind("raw_seq", reached.get(&part.app).copied().unwrap_or_default());
    let batches = parts.iter().map(behind).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&arrow_schema(&OrderChange::TABLE), &batches)?)
}
