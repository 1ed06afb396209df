//! Rows into a table, each exactly once.
//!
//! A commit has rows and, for everybody who wrote some of them, the sequence of the
//! log that it reaches: both are there, or neither is. Before each try the table is
//! asked how far it is, and what it has already is left out. So it does not matter
//! who else writes, or whether the answer to an earlier try was lost.

mod commit;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod tests;

use deltalake::{arrow::array::RecordBatch, kernel::Action};

pub use self::commit::{Appended, TablePart};
pub(crate) use self::commit::{Commit, TRIES, apps_of, pause};
use crate::{
    error::{LakeError, LakeErrorKind},
    progress::{AppId, Reached},
    table::LakeTable,
    write::stage,
};

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
        let reached = self.ask(vec![app.clone()]).await?;
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
            let reached = self.ask(apps_of(parts)).await?;
            if (Commit { parts, reached: &reached }).is_done() {
                return Ok(Appended { version: self.table.version(), rows: 0, conflicts });
            }
            let files = match staged.take() {
                Some(files) if files.reached == reached => files,
                _ => self.stage(parts, reached).await?,
            };
            let commit = Commit { parts, reached: &files.reached };
            if let Some(version) = commit.make(&self.table, files.actions.clone()).await? {
                self.knows(version, parts);
                return Ok(Appended { version, rows: files.rows, conflicts });
            }
            staged = Some(files);
            pause(conflicts).await;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    /// How far the table is for these, as of its version.
    async fn ask(&mut self, apps: Vec<AppId>) -> Result<Reached, LakeError> {
        let version = self.table.version();
        let mut known = match self.known.take() {
            Some((of, known)) if of == version => known,
            _ => Reached::new(),
        };
        let unknown: Vec<AppId> = apps.iter().filter(|app| !known.contains_key(app)).cloned().collect();
        known.extend(self.table.reached(unknown).await?);
        let asked = apps.into_iter().filter_map(|app| known.get(&app).map(|at| (app.clone(), *at))).collect();
        self.known = Some((version, known));
        Ok(asked)
    }

    /// This one has made a version, so nobody need be asked how far that is.
    fn knows(&mut self, version: u64, parts: &[TablePart]) {
        if let Some((of, known)) = &mut self.known {
            *of = version;
            for TablePart { app, reaches, .. } in parts {
                let reached = known.entry(app.clone()).or_default();
                *reached = (*reached).max(*reaches);
            }
        }
    }

    /// Writes what the table has not.
    async fn stage(&self, parts: &[TablePart], reached: Reached) -> Result<Staged, LakeError> {
        let mut batches = Vec::new();
        for part in parts {
            let behind = reached.get(&part.app).copied().unwrap_or_default();
            let rows = part.rows_behind(self.sequence, behind)?;
            if rows.num_rows() > 0 {
                batches.push(rows);
            }
        }
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let actions = if rows == 0 { Vec::new() } else { stage(self.table.delta(), &batches).await? };
        Ok(Staged { actions, rows, reached })
    }
}
