//! A version of a table, as one or several writers make it.

use std::time::Duration;

use deltalake::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::Int64Type,
    },
    kernel::{
        Action,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::{DeltaOperation, SaveMode},
};

use crate::{
    error::{LakeError, LakeErrorKind, is_conflict},
    progress::{AppId, Reached},
    table::LakeTable,
};

/// How often others may be first before the caller is told.
pub(crate) const TRIES: u32 = 30;
/// How long it waits after the first time, and how much longer at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Rows of one writer, and the sequence that the table has reached with them.
#[derive(Debug, Clone)]
pub struct TablePart {
    /// Who writes.
    pub app: AppId,
    /// Nothing at or below this is missing once the rows are in the table.
    pub reaches: i64,
    /// In the order of their sequences.
    pub rows: RecordBatch,
}

impl TablePart {
    /// The rows that are not in a table that has reached `behind`; `column` has their
    /// sequences. Those beyond what the part reaches come again with the rest of their batch.
    pub(crate) fn rows_behind(&self, column: &str, behind: i64) -> Result<RecordBatch, LakeError> {
        match self.app.is_of_redrives() {
            true if behind >= self.reaches => Ok(self.rows.slice(0, 0)),
            true => Ok(self.rows.clone()),
            false => rows_within(&self.rows, column, (behind, self.reaches)),
        }
    }
}

/// What became of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The version that has them.
    pub version: u64,
    /// Rows that were not in the table before.
    pub rows: usize,
    /// How often somebody else was first.
    pub conflicts: u32,
}

/// Parts, and how far the table is for their writers.
pub(crate) struct Commit<'p> {
    pub(crate) parts: &'p [TablePart],
    pub(crate) reached: &'p Reached,
}

impl Commit<'_> {
    fn moved(&self) -> impl Iterator<Item = &TablePart> {
        self.parts.iter().filter(|part| part.reaches > self.reached.get(&part.app).copied().unwrap_or_default())
    }

    /// Whether the table has all of it.
    pub(crate) fn is_done(&self) -> bool {
        self.moved().next().is_none()
    }

    /// How it is made: with the new places, and once.
    pub(crate) fn properties(&self) -> CommitProperties {
        let transactions = self.moved().map(|part| part.app.transaction(part.reaches));
        CommitProperties::default()
            // Who was second asks again how far the table is, and does not just try the next version.
            .with_max_retries(0)
            // A checkpoint that fails must not look like a commit that fails.
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions.collect())
            // So that lineage can tell which code has made a version.
            .with_metadata([("tidemill".to_owned(), env!("CARGO_PKG_VERSION").into())])
    }

    /// Makes the next version by adding files; `None` where somebody else was first.
    pub(crate) async fn make(&self, table: &LakeTable, files: Vec<Action>) -> Result<Option<u64>, LakeError> {
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        self.make_as(table, files, operation).await
    }

    /// Makes it by adding and removing files, and calls it so in the table's history.
    pub(crate) async fn make_as(
        &self,
        table: &LakeTable,
        files: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<Option<u64>, LakeError> {
        let state: &dyn TableReference = table.delta().snapshot()?;
        let commit = CommitBuilder::from(self.properties()).with_actions(files);
        match commit.build(Some(state), table.delta().log_store(), operation).await {
            Ok(committed) => Ok(Some(committed.version())),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Who has written these.
pub(crate) fn apps_of(parts: &[TablePart]) -> Vec<AppId> {
    parts.iter().map(|part| part.app.clone()).collect()
}

/// Waits after somebody else was first for the so many-th time.
pub(crate) async fn pause(conflicts: u32) {
    tokio::time::sleep((FIRST_PAUSE * conflicts).min(LONGEST_PAUSE)).await;
}

/// The rows behind a sequence and up to another, of rows in the order of their sequences.
fn rows_within(rows: &RecordBatch, column: &str, (behind, upto): (i64, i64)) -> Result<RecordBatch, LakeError> {
    let wrong = || LakeError::new(LakeErrorKind::Internal, format!("no column {column} of sequences"));
    let sequences = rows.column_by_name(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let sequences = sequences.ok_or_else(wrong)?.values();
    let first = sequences.partition_point(|sequence| *sequence <= behind);
    let end = sequences.partition_point(|sequence| *sequence <= upto);
    Ok(rows.slice(first, end.saturating_sub(first)))
}
