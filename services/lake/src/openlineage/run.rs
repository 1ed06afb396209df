//! A run that has begun.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    event::{RunState, TableOutput},
    job::LineageJob,
    teller::LineageTeller,
};

/// A run that has begun. One that is dropped without a word of how it ended was told to end.
#[derive(Debug)]
pub(crate) struct LineageRun {
    teller: Arc<LineageTeller>,
    id: Uuid,
    job: LineageJob,
    has_ended: bool,
}

impl LineageRun {
    pub(super) fn begin(teller: &Arc<LineageTeller>, job: LineageJob, id: Uuid) -> Self {
        let run = Self { teller: Arc::clone(teller), id, job, has_ended: false };
        run.tell(&RunState::Start);
        run
    }

    /// It is done, and has written these tables.
    pub(crate) fn completed(mut self, written: &[TableOutput]) {
        self.end(&RunState::Complete(written));
    }

    /// It has come to nothing.
    pub(crate) fn failed(mut self, reason: &str) {
        self.end(&RunState::Fail(reason));
    }

    fn end(&mut self, state: &RunState<'_>) {
        self.has_ended = true;
        self.tell(state);
    }

    fn tell(&self, state: &RunState<'_>) {
        self.teller.tell(&self.teller.form.run(self.id, &self.job, state, self.teller.now()));
    }
}

impl Drop for LineageRun {
    fn drop(&mut self) {
        if !self.has_ended {
            self.tell(&RunState::Abort);
        }
    }
}
