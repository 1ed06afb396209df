//! Rows in place of all that a table has, in one version.

use deltalake::{
    kernel::{
        Action, Transaction,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::{DeltaOperation, SaveMode},
    writer::{DeltaWriter, RecordBatchWriter},
};
use futures::TryStreamExt;

use crate::{
    columns::{Row, TableRows},
    error::{LakeError, LakeErrorKind, is_conflict},
    progress::AppId,
    table::LakeTable,
    write::fresh,
};

/// Rows of a file.
const ROWS_OF_FILE: usize = 200_000;

/// Rows that are written, and in no version yet.
#[derive(Debug)]
pub struct Replacement<R> {
    table: LakeTable,
    transaction: Transaction,
    rows: TableRows<R>,
    added: Vec<Action>,
    count: usize,
}

impl<R: Row> Replacement<R> {
    /// Of the rows that a table has by now. The version says that it is as of `reaches` of its
    /// source.
    ///
    /// # Errors
    /// A column is declared with digits that no decimal has.
    pub fn new(table: LakeTable, app: &AppId, reaches: i64) -> Result<Self, LakeError> {
        Ok(Self { table, transaction: app.transaction(reaches), rows: TableRows::new()?, added: Vec::new(), count: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The store did not take a file.
    pub async fn push(&mut self, row: &impl Row<Kind = R>) -> Result<(), LakeError> {
        self.rows.push(row);
        self.count += 1;
        match self.rows.len() >= ROWS_OF_FILE {
            true => self.write().await,
            false => Ok(()),
        }
    }

    /// Makes the version; answers its number, and how many rows it has.
    ///
    /// # Errors
    /// The store did not do it, or somebody else has written to the table since it was opened: the
    /// table is as it was.
    pub async fn commit(mut self) -> Result<(u64, usize), LakeError> {
        let made = self.try_commit().await;
        made.map(|version| (version, self.count)).map_err(|error| error.of(self.table.definition()))
    }

    async fn write(&mut self) -> Result<(), LakeError> {
        let batch = self.rows.take()?;
        let writer = RecordBatchWriter::for_table(self.table.delta())?;
        let mut writer = writer.with_writer_properties(fresh());
        writer.write(batch).await?;
        self.added.extend(writer.flush().await?.into_iter().map(Action::Add));
        Ok(())
    }

    async fn try_commit(&mut self) -> Result<u64, LakeError> {
        if !self.rows.is_empty() {
            self.write().await?;
        }
        let delta = self.table.delta();
        let log_store = delta.log_store();
        let views = delta.snapshot()?.snapshot().file_views(log_store.as_ref(), None);
        let removed: Vec<Action> = views.map_ok(|view| Action::Remove(view.remove_action(true))).try_collect().await?;
        let actions = removed.into_iter().chain(std::mem::take(&mut self.added)).collect();
        let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        let once = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(vec![self.transaction.clone()]);
        let state: &dyn TableReference = delta.snapshot()?;
        let commit = CommitBuilder::from(once).with_actions(actions);
        match commit.build(Some(state), log_store, operation).await {
            Ok(committed) => Ok(committed.version()),
            Err(error) if is_conflict(&error) => {
                Err(LakeError::new(LakeErrorKind::Contended, "somebody else was first"))
            }
            Err(error) => Err(error.into()),
        }
    }
}
