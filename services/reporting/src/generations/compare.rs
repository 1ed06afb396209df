//! Compares the totals of a generation with the live ones, at one position of the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{GenerationInputs, ReferenceMode};
use tidemill_totals::{MergeError, Totals, Value};
use utoipa::ToSchema;

use super::lineage::LineageLink;
use crate::{batch::less, catalogue::Metric};

#[cfg(test)]
mod tests;

/// The totals of one partition in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SideCell {
    /// First instant after the window.
    pub(crate) end: Timestamp,
    /// The `RAW` sequence that they reach.
    pub(crate) raw_seq: u64,
    /// `None` of a cell that was merged into another.
    pub(crate) totals: Option<Totals>,
}

/// The cells of a version in a window, by the dimensions' canonical JSON and partition.
pub(crate) type ComparedSides = BTreeMap<(String, Partition), SideCell>;

/// The cells of a window on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowSides {
    /// First instant of the window.
    pub(crate) start: Timestamp,
    /// Of the live version.
    pub(crate) live: ComparedSides,
    /// Of the generation's.
    pub(crate) generation: ComparedSides,
}

/// Why a generation's totals of a metric may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DifferenceReason {
    /// The metric is defined in another way.
    Definition,
    /// Events are joined with the reference data of now, and not with those of their time.
    ReferenceData,
    /// Events came when their window was final for one of the two alone: only the other has counted them.
    LateEvent,
    /// One of the two has not counted all of the log.
    Uncounted,
    /// The generation was begun by another release than the one that compares.
    Code,
    /// Nothing that is known differs: other settings, or a record that was made known only
    /// after its events.
    Unknown,
}

impl DifferenceReason {
    /// Of what is known of a metric on both sides: whether it is defined in another way,
    /// whether both have counted the same of the log, which events were late for one of them alone, and which
    /// release compares.
    pub(crate) fn of(
        is_redefined: bool,
        counts_alike: bool,
        late: LateDifference,
        inputs: &GenerationInputs,
        release: &str,
    ) -> Vec<Self> {
        let is_now = inputs.reference != ReferenceMode::AsOf;
        let reasons = [
            is_redefined.then_some(Self::Definition),
            is_now.then_some(Self::ReferenceData),
            (late != LateDifference::default()).then_some(Self::LateEvent),
            (!counts_alike).then_some(Self::Uncounted),
            (inputs.release != release).then_some(Self::Code),
        ];
        let reasons: Vec<Self> = reasons.into_iter().flatten().collect();
        if reasons.is_empty() { vec![Self::Unknown] } else { reasons }
    }
}

/// Events that came past the allowed lateness for one side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct LateDifference {
    /// The live totals lack them, and the generation has them: so many at the least.
    pub(crate) only_live: u64,
    /// The generation lacks them, and the live totals have them.
    pub(crate) only_generation: u64,
}

/// How a cell differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DifferenceKind {
    /// Both have it, with other values.
    Changed,
    /// The live totals alone have it.
    OnlyLive,
    /// The generation alone has it.
    OnlyGeneration,
}

/// A cell that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DifferingCell {
    /// First instant of the window.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) start: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) end: Timestamp,
    /// Values of the dimensions.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// How it differs.
    pub(crate) kind: DifferenceKind,
    /// Live values by measure; none where there is no such cell.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) live: BTreeMap<String, Value>,
    /// Values in the generation.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) generation: BTreeMap<String, Value>,
    /// By how much the generation's values are more, of measures that differ: amounts as
    /// strings, counts as numbers. 0 where the values are the same, and their rows are not.
    pub(crate) difference: BTreeMap<String, Json>,
    /// Where a lake tells its events; none of a cell that the live definition does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lineage: Option<LineageLink>,
}

/// What came of comparing a metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct ComparedCells {
    /// Cells that are the same.
    pub(crate) equal: u64,
    /// Cells with other values.
    pub(crate) changed: u64,
    /// Cells that the live totals alone have.
    pub(crate) only_live: u64,
    /// Cells that the generation alone has.
    pub(crate) only_generation: u64,
    /// Cells that one side has counted beyond the position: they are not compared.
    pub(crate) open: u64,
    /// The first of those that differ, in the order of time.
    pub(crate) cells: Vec<DifferingCell>,
}

impl ComparedCells {
    /// Whether all of it was compared and is the same.
    pub(crate) fn is_equal(&self) -> bool {
        self.changed + self.only_live + self.only_generation + self.open == 0
    }
}

/// A comparison under way.
pub(crate) struct Comparison<'m> {
    live: Option<&'m Metric>,
    generation: &'m Metric,
    /// Where the comparison is, by partition: both sides have counted up to there.
    at: &'m BTreeMap<Partition, u64>,
    /// Differing cells that are told.
    most: usize,
    compared: ComparedCells,
}

/// The totals of a cell on one side, added up over partitions.
struct AddedSide {
    end: Timestamp,
    totals: Totals,
}

impl<'m> Comparison<'m> {
    pub(crate) fn new(
        live: Option<&'m Metric>,
        generation: &'m Metric,
        at: &'m BTreeMap<Partition, u64>,
        most: usize,
    ) -> Self {
        Self { live, generation, at, most, compared: ComparedCells::default() }
    }

    /// Compares the cells of a window.
    pub(crate) fn compare(&mut self, window: &WindowSides) -> Result<(), MergeError> {
        let keys = window.live.keys().chain(window.generation.keys());
        let dimensions: BTreeSet<&str> = keys.map(|(dimensions, _)| dimensions.as_str()).collect();
        for dimensions in dimensions {
            let [live, generation] = [&window.live, &window.generation].map(|side| of(side, dimensions));
            if live.iter().chain(&generation).any(|(partition, cell)| self.is_open(*partition, cell)) {
                self.compared.open += 1;
                continue;
            }
            let (live, generation) = (added_up(&live)?, added_up(&generation)?);
            match (live, generation) {
                // Both were merged into others.
                (None, None) => {}
                (live, generation) => self.meet(window.start, dimensions, live.as_ref(), generation.as_ref()),
            }
        }
        Ok(())
    }

    /// What came of it.
    pub(crate) fn finish(self) -> ComparedCells {
        self.compared
    }

    fn is_open(&self, partition: Partition, cell: &SideCell) -> bool {
        cell.raw_seq > self.at.get(&partition).copied().unwrap_or_default()
    }

    fn meet(&mut self, start: Timestamp, dimensions: &str, live: Option<&AddedSide>, generation: Option<&AddedSide>) {
        let differing = self.differing(live, generation);
        let (kind, count) = match (live, generation) {
            (Some(_), Some(_)) if differing.is_empty() => {
                self.compared.equal += 1;
                return;
            }
            (Some(_), Some(_)) => (DifferenceKind::Changed, &mut self.compared.changed),
            (Some(_), None) => (DifferenceKind::OnlyLive, &mut self.compared.only_live),
            (None, _) => (DifferenceKind::OnlyGeneration, &mut self.compared.only_generation),
        };
        *count += 1;
        if self.compared.cells.len() >= self.most {
            return;
        }
        let [live_values, generation_values] =
            [(self.live, live), (Some(self.generation), generation)].map(|(metric, side)| values(metric, side));
        let nothing = |of: &BTreeMap<String, Value>, name: &str| of.get(name).cloned().unwrap_or(Value::None);
        let by = |name: String| {
            let more = less(&nothing(&generation_values, &name), &nothing(&live_values, &name));
            (name, more)
        };
        // Where no value differs, what they are made of does: rows that nobody could convert.
        let has_other_value = |name: &String| live_values.get(name) != generation_values.get(name);
        let by_value: Vec<String> = differing.iter().filter(|name| has_other_value(name)).cloned().collect();
        let differing = if by_value.is_empty() { differing } else { by_value };
        let dimensions: BTreeMap<String, String> = serde_json::from_str(dimensions).unwrap_or_default();
        self.compared.cells.push(DifferingCell {
            start,
            end: live.or(generation).map_or(start, |side| side.end),
            lineage: self.lineage(start, &dimensions),
            dimensions,
            kind,
            difference: differing.into_iter().map(by).collect(),
            live: live_values,
            generation: generation_values,
        });
    }

    /// Where the events of a cell are, if a lake counts such cells.
    fn lineage(&self, start: Timestamp, dimensions: &BTreeMap<String, String>) -> Option<LineageLink> {
        let live = self.live.filter(|live| live.window == self.generation.window)?;
        let is_of_it = live.dimensions.len() == dimensions.len()
            && live.dimensions.iter().all(|name| dimensions.contains_key(name));
        is_of_it.then(|| LineageLink::of(&live.name, start, dimensions))
    }

    /// The measures of both versions whose totals differ.
    fn differing(&self, live: Option<&AddedSide>, generation: Option<&AddedSide>) -> Vec<String> {
        let there = |metric: Option<&Metric>, side: Option<&AddedSide>, name: &str| {
            let at = metric?.measures.iter().position(|measure| measure.name == name)?;
            side?.totals.0.get(at).cloned()
        };
        let of_live = |name: &str| self.live.is_none_or(|metric| metric.measures.iter().any(|of| of.name == name));
        let names = self.generation.measures.iter().map(|measure| &measure.name).filter(|name| of_live(name));
        // What a batch view has of the live version may be written in another way.
        let differs =
            |name: &&String| match (there(self.live, live, name), there(Some(self.generation), generation, name)) {
                (Some(one), Some(other)) => !Totals(vec![one]).comes_to_the_same(&Totals(vec![other])),
                (one, other) => one.is_some() || other.is_some(),
            };
        names.filter(differs).cloned().collect()
    }
}

/// The cells of a window of these dimensions, by partition.
fn of<'s>(side: &'s ComparedSides, dimensions: &str) -> Vec<(Partition, &'s SideCell)> {
    let from = (dimensions.to_owned(), Partition::new(0));
    let cells = side.range(from..).take_while(|((known, _), _)| known == dimensions);
    cells.map(|((_, partition), cell)| (*partition, cell)).collect()
}

fn added_up(cells: &[(Partition, &SideCell)]) -> Result<Option<AddedSide>, MergeError> {
    let mut side: Option<AddedSide> = None;
    for (_, cell) in cells {
        let Some(totals) = &cell.totals else { continue };
        match &mut side {
            None => side = Some(AddedSide { end: cell.end, totals: totals.clone() }),
            Some(side) => {
                side.totals.add(totals)?;
                side.end = side.end.max(cell.end);
            }
        }
    }
    Ok(side)
}

fn values(metric: Option<&Metric>, side: Option<&AddedSide>) -> BTreeMap<String, Value> {
    let Some((metric, side)) = metric.zip(side) else { return BTreeMap::new() };
    metric.measures.iter().zip(&side.totals.0).map(|(measure, total)| (measure.name.clone(), total.value())).collect()
}
