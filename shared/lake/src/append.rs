//! TableRows into a table, each exactly once.
//!
//! A commit has rows and, for everybody who wrote some of them, the sequence of the
//! log that it reaches: both are there, or neither is. Before each try the table is
//! asked how far it is, and what it has already is left out. So it does not matter
//! who else writes, or whether the answer to an earlier try was lost.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::time::Duration;

use deltalake::{
    arrow::{
        array::{Array, BooleanArray, Int64Array, RecordBatch},
        compute::filter_record_batch,
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
    write::stage,
};

/// How often others may be first before the caller is told.
const TRIES: u32 = 30;
/// How long it waits after the first time, and how much longer at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// TableRows of one writer, and the sequence that the table has reached with them.
#[derive(Debug, Clone)]
pub struct TablePart {
    /// Who writes.
    pub app: AppId,
    /// Nothing at or below this is missing once the rows are in the table.
    pub reaches: i64,
    /// In the order of their sequences.
    pub rows: RecordBatch,
}

/// What became of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The version that has them.
    pub version: u64,
    /// TableRows that were not in the table before.
    pub rows: usize,
    /// How often somebody else was first.
    pub conflicts: u32,
}

/// Appends to a table.
#[derive(Debug)]
pub struct Appender {
    table: LakeTable,
    /// The column that has the sequence of a row.
    sequence: &'static str,
    /// How far the table is, as of a version: nobody need be asked again while
    /// nobody else has written.
    known: Option<(u64, Reached)>,
}

/// Parts as files, and how far the table was when they were written.
struct Staged {
    actions: Vec<Action>,
    rows: usize,
    reached: Reached,
}

impl Appender {
    /// `sequence` names the column of the rows' sequences.
    pub const fn new(table: LakeTable, sequence: &'static str) -> Self {
        Self { table, sequence, known: None }
    }

    /// The table, as it was read last.
    pub const fn table(&self) -> &LakeTable {
        &self.table
    }

    pub(crate) const fn table_mut(&mut self) -> &mut LakeTable {
        &mut self.table
    }

    /// How far the table is.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn reached(&mut self, app: &AppId) -> Result<i64, LakeError> {
        self.table.refresh().await?;
        let reached = self.ask(std::iter::once(app)).await?;
        Ok(reached.get(app).copied().unwrap_or_default())
    }

    /// Appends parts in one version, without what is there already.
    ///
    /// # Errors
    /// The store did not do it, or did not say so: to call it again with the same
    /// parts is always right.
    pub async fn append(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        let appended = self.try_append(parts).await;
        appended.map_err(|error| error.of(self.table.definition()))
    }

    async fn try_append(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        let mut staged: Option<Staged> = None;
        for conflicts in 0..TRIES {
            self.table.refresh().await?;
            let reached = self.ask(parts.iter().map(|part| &part.app)).await?;
            let done = |part: &&TablePart| reached.get(&part.app).copied().unwrap_or_default() >= part.reaches;
            if parts.iter().all(|part| done(&part)) {
                return Ok(Appended { version: self.table.version(), rows: 0, conflicts });
            }
            let files = match staged.take() {
                Some(files) if files.reached == reached => files,
                _ => self.stage(parts, reached).await?,
            };
            if let Some(version) = self.commit(parts, &files).await? {
                return Ok(Appended { version, rows: files.rows, conflicts });
            }
            staged = Some(files);
            tokio::time::sleep((FIRST_PAUSE * conflicts).min(LONGEST_PAUSE)).await;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    /// How far the table is for these, as of its version.
    async fn ask(&mut self, apps: impl Iterator<Item = &AppId>) -> Result<Reached, LakeError> {
        let version = self.table.version();
        let mut known = match self.known.take() {
            Some((of, known)) if of == version => known,
            _ => Reached::new(),
        };
        let apps: Vec<AppId> = apps.cloned().collect();
        let unknown: Vec<AppId> = apps.iter().filter(|app| !known.contains_key(app)).cloned().collect();
        known.extend(self.table.reached(unknown).await?);
        let asked = apps.into_iter().filter_map(|app| known.get(&app).map(|at| (app.clone(), *at))).collect();
        self.known = Some((version, known));
        Ok(asked)
    }

    /// Writes what the table has not.
    async fn stage(&self, parts: &[TablePart], reached: Reached) -> Result<Staged, LakeError> {
        let mut batches = Vec::new();
        for part in parts {
            let behind = reached.get(&part.app).copied().unwrap_or_default();
            let rows = rows_behind(&part.rows, self.sequence, behind)?;
            if rows.num_rows() > 0 {
                batches.push(rows);
            }
        }
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let actions = if rows == 0 { Vec::new() } else { stage(self.table.delta(), &batches).await? };
        Ok(Staged { actions, rows, reached })
    }

    /// Makes the next version; `None` where somebody else was first.
    async fn commit(&mut self, parts: &[TablePart], files: &Staged) -> Result<Option<u64>, LakeError> {
        let behind = |app: &AppId| files.reached.get(app).copied().unwrap_or_default();
        let moved = parts.iter().filter(|part| part.reaches > behind(&part.app));
        let transactions: Vec<_> = moved.clone().map(|part| part.app.transaction(part.reaches)).collect();
        let properties = CommitProperties::default()
            // Who was second asks again how far the table is, and does not just try the next version.
            .with_max_retries(0)
            // A checkpoint that fails must not look like a commit that fails.
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let state: &dyn TableReference = self.table.delta().snapshot()?;
        let commit = CommitBuilder::from(properties).with_actions(files.actions.clone());
        match commit.build(Some(state), self.table.delta().log_store(), operation).await {
            Ok(committed) => {
                let version = committed.version();
                let at = moved.map(|part| (part.app.clone(), part.reaches)).collect::<Vec<_>>();
                if let Some((of, known)) = &mut self.known {
                    *of = version;
                    known.extend(at);
                }
                Ok(Some(version))
            }
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The rows behind a sequence.
fn rows_behind(rows: &RecordBatch, column: &str, behind: i64) -> Result<RecordBatch, LakeError> {
    let wrong = || LakeError::new(LakeErrorKind::Internal, format!("no column {column} of sequences"));
    let sequences = rows.column_by_name(column).and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    let sequences = sequences.ok_or_else(wrong)?;
    let is_behind: BooleanArray = sequences.iter().map(|sequence| Some(sequence? > behind)).collect();
    match is_behind.true_count() {
        all if all == rows.num_rows() => Ok(rows.clone()),
        _ => Ok(filter_record_batch(rows, &is_behind)?),
    }
}
