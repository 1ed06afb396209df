//! The windows of a metric, as far as rules need them.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_events::TraceParent;
use tidemill_totals::{MeasureTotal, Replicated, Totals, Value};

use crate::{
    rules::metric::{Baseline, MetricRule},
    state::{CellName, CellTotals},
};

/// Windows that are kept beyond those of a baseline: how far partitions may be
/// apart.
const SPARE_WINDOWS: usize = 16;
/// Cells of one window; more are left out of evaluation.
const MAX_CELLS: usize = 10_000;
/// Starts of sessions that are kept: each has its own.
const MAX_SESSIONS: usize = 10_000;

/// A group in a window: what a rule fires at most once for.
pub(super) type GroupWindow = (Timestamp, Vec<String>);

/// The windows of one metric that rules need.
pub(super) struct WindowSeries {
    pub(super) version: String,
    measures: Vec<SeriesMeasure>,
    size: i64,
    step: i64,
    pub(super) keep: usize,
    pub(super) windows: BTreeMap<Timestamp, WindowCells>,
}

pub(super) struct WindowCells {
    /// What aggregation's clock said when the window was first seen.
    pub(super) since: Timestamp,
    cells: BTreeMap<BTreeMap<String, String>, PartitionedCell>,
    /// By rule and group.
    seen: BTreeMap<(String, Vec<String>), LastLook>,
}

struct SeriesMeasure {
    name: String,
    is_money: bool,
}

/// The totals of a group in a window, by measure. Those of money are in the base
/// currency, whatever the currencies of its rows.
#[derive(Debug, PartialEq)]
pub(super) struct GroupTotals {
    pub(super) values: BTreeMap<String, Value>,
    /// Rows that a measure should have and has not.
    pub(super) unread: BTreeMap<String, u64>,
    /// Rows of money of which nobody knows what they are in the base currency.
    pub(super) unconverted: BTreeMap<String, u64>,
    /// The base currency of each measure of money that has any.
    pub(super) bases: BTreeMap<String, Currency>,
}

impl GroupTotals {
    fn of(measures: &[SeriesMeasure], totals: &[MeasureTotal]) -> Self {
        let named = || measures.iter().zip(totals).map(|(measure, total)| (measure.name.clone(), measure, total));
        // A sum of nothing is 0 for a condition, also where no rate is known.
        let in_base = |total: &MeasureTotal| match total.in_base(total.base()).value {
            Value::None => total.measure.nothing().value(),
            value => value,
        };
        let value = |(name, measure, total): (String, &SeriesMeasure, &MeasureTotal)| {
            (name, if measure.is_money { in_base(total) } else { total.value() })
        };
        let money = || named().filter(|(_, measure, _)| measure.is_money);
        Self {
            values: named().map(value).collect(),
            unread: named().map(|(name, _, total)| (name, total.unread)).collect(),
            unconverted: money().map(|(name, _, total)| (name, total.unconverted)).collect(),
            bases: money().filter_map(|(name, _, total)| Some((name, total.base()?))).collect(),
        }
    }
}

/// What an evaluation leaves behind for the next one of the same group and
/// window.
#[derive(Clone, Copy, Default)]
pub(super) struct LastLook {
    pub(super) fired: bool,
    /// An event gets one span, however often its window changes.
    pub(super) traced: Option<TraceParent>,
}

/// A cell as its partitions report it.
pub(super) struct PartitionedCell {
    /// A session's grows.
    pub(super) end: Timestamp,
    totals: Replicated,
    /// The partitions that have not taken it back.
    live: BTreeSet<Partition>,
    exemplar: Option<TraceParent>,
}

impl WindowSeries {
    pub(super) fn new(definition: &MetricDefinition) -> Self {
        let size = definition.window.size_millis();
        let step = definition.window.step_millis();
        Self {
            version: definition.version().to_owned(),
            measures: definition
                .measures
                .iter()
                .map(|(name, measure)| SeriesMeasure { name: name.clone(), is_money: measure.money.is_some() })
                .collect(),
            size,
            // Sessions are on no grid, and have no baseline that would ask.
            step: step.unwrap_or(size),
            keep: if step.is_some() { SPARE_WINDOWS } else { MAX_SESSIONS },
            windows: BTreeMap::new(),
        }
    }

    /// Keeps what a rule needs.
    pub(super) fn make_room(&mut self, rule: &MetricRule) {
        // A sliding window's baseline begins where the window does not overlap it.
        let overlap = usize::try_from(self.size / self.step).unwrap_or(1);
        let needed = rule.body.baseline.map_or(0, |baseline| baseline.windows) + overlap + SPARE_WINDOWS;
        self.keep = self.keep.max(needed);
    }

    /// Takes note of a partition's totals; answers whether they are news.
    pub(super) fn observe(&mut self, as_of: Timestamp, name: &CellName, reported: &CellTotals) -> bool {
        let is_oldest = self.windows.first_key_value().is_none_or(|(oldest, _)| name.start < *oldest);
        if is_oldest && self.windows.len() >= self.keep {
            return false;
        }
        let fresh = || WindowCells { since: as_of, cells: BTreeMap::new(), seen: BTreeMap::new() };
        let window = self.windows.entry(name.start).or_insert_with(fresh);
        if !window.cells.contains_key(&name.dimensions) && window.cells.len() >= MAX_CELLS {
            return false;
        }
        let fresh = || PartitionedCell {
            end: reported.end,
            totals: Replicated::default(),
            live: BTreeSet::new(),
            exemplar: None,
        };
        let cell = window.cells.entry(name.dimensions.clone()).or_insert_with(fresh);
        cell.exemplar = reported.exemplar.or(cell.exemplar);
        let is_news = cell.totals.observe(name.partition, reported.raw_seq, reported.totals.clone());
        if is_news {
            cell.end = cell.end.max(reported.end);
            match reported.retracted {
                true => drop(cell.live.remove(&name.partition)),
                false => drop(cell.live.insert(name.partition)),
            }
        }
        is_news
    }

    /// The cells of a group in a window, over all other dimensions.
    pub(super) fn cells<'s>(
        &'s self,
        rule: &'s MetricRule,
        start: Timestamp,
        group: &'s [String],
    ) -> impl Iterator<Item = &'s PartitionedCell> {
        let cells = self.windows.get(&start).into_iter().flat_map(|window| &window.cells);
        let is_in =
            |(dimensions, cell): &(&_, &PartitionedCell)| !cell.live.is_empty() && rule.is_in(dimensions, group);
        cells.filter(is_in).map(|(_, cell)| cell)
    }

    /// Forgets the oldest windows beyond those to keep; answers the start of
    /// the oldest that is left, where any was forgotten.
    pub(super) fn evict(&mut self) -> Option<Timestamp> {
        let surplus = self.windows.len().saturating_sub(self.keep);
        (0..surplus).for_each(|_| drop(self.windows.pop_first()));
        (surplus > 0).then(|| self.windows.first_key_value().map(|(start, _)| *start)).flatten()
    }

    /// The totals of a group in a window, over all partitions and all other
    /// dimensions; `None` where the group is not in it.
    pub(super) fn totals(&self, rule: &MetricRule, start: Timestamp, group: &[String]) -> Option<GroupTotals> {
        let mut sum: Option<Totals> = None;
        for cell in self.cells(rule, start, group) {
            // Cells of one version have one shape, so nothing is left out here.
            if let Ok(Some(totals)) = cell.totals.sum() {
                match &mut sum {
                    None => sum = Some(totals),
                    Some(sum) => sum.add(&totals).unwrap_or_default(),
                }
            }
        }
        Some(GroupTotals::of(&self.measures, &sum?.0))
    }

    /// The mean of each measure over the group's windows before `start`.
    pub(super) fn baseline(
        &self,
        rule: &MetricRule,
        start: Timestamp,
        group: &[String],
    ) -> Option<BTreeMap<String, f64>> {
        let Baseline { windows, min_windows } = rule.body.baseline?;
        let earlier =
            (0..windows).map(|n| start.plus_millis(-self.size - self.step * i64::try_from(n).unwrap_or(i64::MAX)));
        let known: Vec<_> = earlier.filter_map(|start| self.totals(rule, start, group)).collect();
        let mean = |name: &String| {
            let values: Vec<f64> = known.iter().filter_map(|totals| totals.values.get(name)?.to_f64()).collect();
            (!values.is_empty()).then(|| (name.clone(), values.iter().sum::<f64>() / values.len() as f64))
        };
        let names = self.measures.iter().map(|measure| &measure.name);
        (known.len() >= min_windows).then(|| names.filter_map(mean).collect())
    }

    /// What the last look at a group in a window left; `None` where the window
    /// is not kept.
    pub(super) fn last_look(&mut self, rule: &MetricRule, (start, group): &GroupWindow) -> Option<&mut LastLook> {
        Some(self.windows.get_mut(start)?.seen.entry((rule.meta.rule.clone(), group.clone())).or_default())
    }

    /// An event that is counted in a group's totals, a sampled one where there
    /// is one.
    pub(super) fn exemplar(&self, rule: &MetricRule, start: Timestamp, group: &[String]) -> Option<TraceParent> {
        let exemplars = self.cells(rule, start, group).filter_map(|cell| cell.exemplar);
        exemplars.max_by_key(|exemplar| exemplar.is_sampled())
    }
}
