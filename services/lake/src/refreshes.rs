//! Tables that are computed one after the other: each is told as a run of its own.

use tidemill_batch_views::{RefreshStep, Refreshed, SqlError};

use crate::openlineage::{LineageJob, LineageRun, OpenLineage, TableOutput};

/// What is computed, and who is told.
#[derive(Debug)]
pub(crate) struct Refreshes {
    lineage: OpenLineage,
    run: Option<LineageRun>,
    changed: Vec<Refreshed>,
}

impl Refreshes {
    pub(crate) const fn new(lineage: OpenLineage) -> Self {
        Self { lineage, run: None, changed: Vec::new() }
    }

    /// A table begins, or is done.
    pub(crate) fn step(&mut self, step: RefreshStep<'_>) {
        match step {
            RefreshStep::Begins { table, reads, reaches } => {
                self.run = self.lineage.begin(LineageJob::over(table, reads), &reaches);
            }
            RefreshStep::Done(refreshed) => {
                if let Some(run) = self.run.take() {
                    run.completed(&[written(refreshed)]);
                }
                self.changed.push(refreshed.clone());
            }
        }
    }

    /// All is done, or the table that has begun cannot be; answers those that changed.
    pub(crate) fn ended(mut self, done: Result<(), SqlError>) -> Result<Vec<Refreshed>, SqlError> {
        if let (Err(error), Some(run)) = (&done, self.run.take()) {
            run.failed(&error.to_string());
        }
        done.map(|()| self.changed)
    }
}

fn written(refreshed: &Refreshed) -> TableOutput {
    let columns = refreshed.columns.iter().map(|column| (&*column.name, &*column.kind, column.about));
    TableOutput::named(&refreshed.table, refreshed.version, columns)
}
