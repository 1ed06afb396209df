//! Updates of generations, gathered.

use std::{collections::BTreeMap, sync::Arc};

use tidemill_domain::{GenerationName, Partition, Timestamp};
use tidemill_events::{CellGroup, CellMetric, CellUpdate, GenerationInputs, GenerationUpdate, MetricsUpdate};

use crate::{
    batch::BatchFold,
    read_model::{MetricsFold, OutcomeCounts},
    watermark::PartitionProgress,
};

/// Updates of generations, gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GenerationsFold {
    /// Furthest totals and the newest word on what was not counted, by the versions that
    /// they have in their generation.
    pub(crate) totals: MetricsFold,
    /// Newest progress.
    pub(crate) progress: BTreeMap<(GenerationName, Partition), PartitionProgress>,
    /// Furthest outcomes, by generation, source, hour and partition.
    pub(crate) outcomes: BTreeMap<(GenerationName, String, Timestamp, Partition), OutcomeCounts>,
    /// What generations are counted by.
    pub(crate) inputs: BTreeMap<GenerationName, GenerationInputs>,
    /// Batch views, which are no generation.
    pub(crate) batch: BatchFold,
}

impl GenerationsFold {
    /// Adds an update.
    pub(crate) fn observe(&mut self, GenerationUpdate { generation, inputs, view, update }: GenerationUpdate) {
        if let Some(view) = view {
            return self.batch.observe(view, update);
        }
        let is_of_batch = generation.as_str() == GenerationName::BATCH;
        // Where batch views begin, nothing is in them yet.
        let progress = PartitionProgress::of(&update).filter(|_| !is_of_batch || inputs.is_none());
        if let Some(progress) = progress {
            let known = self.progress.entry((generation.clone(), update.partition)).or_insert(progress);
            if progress.position() > known.position() {
                *known = progress;
            }
        }
        let MetricsUpdate { cells, mut counting, .. } = update;
        counting.iter_mut().for_each(|of| of.version = generation.version_of(&of.version));
        let cells = of_generation(&generation, cells);
        self.totals.observe(MetricsUpdate { cells, counting, redriven: Vec::new(), ..update });
        // Each generation has its own.
        self.totals.progress.clear();
        for ((source, hour, partition), outcome) in std::mem::take(&mut self.totals.outcomes) {
            let known = self.outcomes.entry((generation.clone(), source, hour, partition)).or_insert(outcome);
            if outcome.raw_seq > known.raw_seq {
                *known = outcome;
            }
        }
        if let Some(inputs) = inputs {
            self.inputs.insert(generation, inputs);
        }
    }

    /// Whether it has something of such a generation, or of none.
    pub(crate) fn is_of(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        let of_version = |version: &str| GenerationName::of_version(version).is_none_or(&is_meant);
        self.totals.cells.versions().any(|((_, version), _)| of_version(version))
            || self.totals.counting.keys().any(|(_, version, _)| of_version(version))
            || self.progress.keys().any(|(name, _)| is_meant(name.as_str()))
            || self.outcomes.keys().any(|(name, ..)| is_meant(name.as_str()))
            || self.inputs.keys().any(|name| is_meant(name.as_str()))
    }

    /// The same without generations.
    pub(crate) fn without(mut self, is_gone: impl Fn(&str) -> bool) -> Self {
        let stays = |version: &str| GenerationName::of_version(version).is_some_and(|name| !is_gone(name));
        self.totals.cells.retain(stays);
        self.totals.counting.retain(|(_, version, _), _| stays(version));
        self.progress.retain(|(name, _), _| !is_gone(name.as_str()));
        self.outcomes.retain(|(name, ..), _| !is_gone(name.as_str()));
        self.inputs.retain(|name, _| !is_gone(name.as_str()));
        self
    }
}

/// The cells, with the versions that they have in a generation. Neighbours mostly share
/// their metric, and go on to.
fn of_generation(generation: &GenerationName, cells: Vec<CellUpdate>) -> Vec<CellUpdate> {
    let mut last: Option<(Arc<CellMetric>, Arc<CellMetric>)> = None;
    let mut renamed = |metric: &Arc<CellMetric>| match &last {
        Some((known, renamed)) if Arc::ptr_eq(known, metric) => renamed.clone(),
        _ => {
            let CellMetric { name, version, dimensions } = &**metric;
            let (name, version) = (name.clone(), generation.version_of(version));
            let renamed: Arc<CellMetric> = CellMetric { name, version, dimensions: dimensions.clone() }.into();
            last = Some((metric.clone(), renamed.clone()));
            renamed
        }
    };
    let of = |cell: CellUpdate| {
        let metric = renamed(&cell.group.metric);
        CellUpdate { group: CellGroup { metric, ..cell.group }, ..cell }
    };
    cells.into_iter().map(of).collect()
}
