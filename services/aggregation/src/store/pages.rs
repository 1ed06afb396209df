//! The totals of windows, many in a row.
//!
//! A row for each cell costs more than all else that is done for it. So cells of
//! one version of a metric that lie next to each other, by start and id, make a
//! page. A checkpoint appends one run to each page that it changes: a row with the
//! cells that changed in it. Runs of a page are joined from time to time, and a
//! page that has become large is split. All this is part of a checkpoint's
//! transaction, so there is nothing in between to be found after a crash.
//!
//! Sessions are rows of their own, since they are found by their group.

mod bytes;
mod directory;
mod fresh;
mod plan;
mod prepared;
mod read;
mod run;
mod state;
mod takeover;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemill_definitions::MetricDefinition;
use tidemill_domain::Timestamp;

use self::{directory::Directory, run::CellPlace};
pub(super) use self::{prepared::WrittenPages, read::read_points};
use crate::fold::cell::CellId;

/// How large pages become, and of how many runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRules {
    /// A page with as many bytes gets no further cells behind its last, and what
    /// is split has about as many.
    pub(crate) page_bytes: usize,
    /// As many runs of about one size are joined.
    pub(crate) runs: usize,
    /// As many rows of an earlier release are taken over by one checkpoint.
    pub(crate) rows_taken_over: i64,
}

impl Default for PageRules {
    fn default() -> Self {
        Self { page_bytes: 16 * 1024, runs: 8, rows_taken_over: 500 }
    }
}

/// The pages of a claimed partition, as its owner knows them.
#[derive(Debug)]
pub(crate) struct Pages {
    directory: Mutex<Directory>,
    /// Held while cells move between rows, and by whoever reads some that must be
    /// somewhere. Taken before a connection is.
    moves: tokio::sync::Mutex<()>,
    rules: PageRules,
}

/// A window that is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedWindow<'m> {
    pub(crate) metric: &'m MetricDefinition,
    pub(crate) start: Timestamp,
    pub(crate) id: CellId,
}

impl WantedWindow<'_> {
    fn place(&self) -> CellPlace {
        CellPlace { start: self.start.millis(), id: self.id }
    }
}

impl Pages {
    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without those that the store cannot have. It has no cell of a batch that is
    /// in no checkpoint yet, and of those in a checkpoint under way all are in memory.
    pub(crate) fn possible<'m>(&self, mut wanted: Vec<WantedWindow<'m>>) -> Vec<WantedWindow<'m>> {
        let mut directory = self.directory();
        if directory.rows_from.is_none() {
            wanted.retain(|wanted| directory.page_of(wanted.metric.cell_metric(), wanted.place()).is_some());
        }
        wanted
    }
}
