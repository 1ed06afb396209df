//! How far a run is, for whoever watches it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemill_batch_views::RebuiltTable;

use super::{RebuildPhase, RebuildState};

/// How far a run is.
pub(super) struct RebuildProgress(Mutex<RebuildState>);

impl RebuildProgress {
    pub(super) const fn new(state: RebuildState) -> Self {
        Self(Mutex::new(state))
    }

    pub(super) fn state(&self) -> RebuildState {
        self.locked().clone()
    }

    /// Something of so many parts begins.
    pub(super) fn begin(&self, stage: &str, total: usize) {
        let mut state = self.locked();
        (state.stage, state.done, state.total) = (stage.to_owned(), 0, total as u64);
    }

    /// One of them is done.
    pub(super) fn step(&self) {
        self.locked().done += 1;
    }

    /// A table is done.
    pub(super) fn table(&self, table: RebuiltTable) {
        self.locked().tables.push(table);
    }

    pub(super) fn ended(&self, phase: RebuildPhase, reason: Option<String>) -> RebuildState {
        let mut state = self.locked();
        (state.phase, state.reason) = (phase, reason);
        state.clone()
    }

    fn locked(&self) -> MutexGuard<'_, RebuildState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
