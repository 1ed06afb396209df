//! Messages of batch views, gathered.

use std::collections::BTreeMap;

use tidemill_events::{BatchView, MetricsUpdate};

use crate::read_model::{FoldedCells, MetricsFold};

/// A version of a metric, and the number of a view of it.
pub(crate) type ViewNumber = (String, String, u64);

/// Messages of batch views, gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BatchFold {
    /// Furthest totals, by the versions of definitions.
    pub(crate) cells: FoldedCells,
    /// How many totals came of each view.
    pub(crate) arrived: BTreeMap<ViewNumber, u64>,
    /// Views that were told to their end, in the order in which they were.
    pub(crate) ended: Vec<BatchView>,
}

impl BatchFold {
    /// Adds a message of a view.
    pub(crate) fn observe(&mut self, view: BatchView, update: MetricsUpdate) {
        let number = (view.metric.clone(), view.version.clone(), view.number);
        *self.arrived.entry(number).or_default() += update.cells.len() as u64;
        self.cells.observe(update.cells, update.partition, update.raw_seq);
        if view.end.is_some() {
            self.ended.push(view);
        }
    }

    /// Whether nothing came.
    pub(crate) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }
}

/// Cells that landed, as a fold of totals.
pub(crate) fn fold_of(cells: FoldedCells) -> MetricsFold {
    MetricsFold { cells, ..MetricsFold::default() }
}
