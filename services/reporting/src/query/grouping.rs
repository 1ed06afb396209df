//! Adds cells up: over partitions, over dimensions that are not grouped by, and
//! for totals over windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use tidemill_domain::{Currency, Timestamp};
use tidemill_totals::{InBase, Measure, MeasureTotal, Totals, Value};
use utoipa::ToSchema;

use super::{
    question::Question,
    resolution::{Roller, Rollup, RollupSpan},
};
use crate::{
    batch::AnswerSource,
    catalogue::{MeasureShape, Metric},
    error::Error,
    store::StoredCell,
};

#[cfg(test)]
mod tests;

/// Values by name of measure.
pub(crate) type Values = BTreeMap<String, Value>;

/// Measures of money in the base currency. Measures that are no money are not
/// named.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub(crate) struct BaseValues {
    /// By measure; `null` where nothing of it is known in the base currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) converted: Values,
    /// By measure: rows that are not in it, since no rate is known, or since they
    /// were converted when the shop had another base currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unconverted: BTreeMap<String, u64>,
}

/// By measure: rows that it should have and has not, and values that were rounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Gaps {
    /// Rows that count and are not in the measure: their value is not there, is
    /// no number, or is beyond 10^15. Measures that have every row are not named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unread: BTreeMap<String, u64>,
    /// Values that were rounded to twelve decimals.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rounded: BTreeMap<String, u64>,
}

/// Cells that were added up.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// First instant of the first window, or of the period.
    pub(crate) start: Timestamp,
    /// First instant after the last, or after the period.
    pub(crate) end: Timestamp,
    totals: Totals,
    /// Window and combination of dimensions of what was added last.
    last: (Timestamp, usize),
    /// Whether it holds more than one window or combination of dimensions.
    is_joined: bool,
}

impl Sum {
    fn of(cell: StoredCell<'_>, span: RollupSpan, combination: usize) -> Self {
        let RollupSpan { start, end } = span;
        Self { start, end, totals: cell.totals, last: (cell.start, combination), is_joined: cell.is_joined }
    }

    fn add(
        &mut self,
        cell: &StoredCell<'_>,
        span: RollupSpan,
        combination: usize,
    ) -> Result<(), tidemill_totals::MergeError> {
        let added = (cell.start, combination);
        self.is_joined |= cell.is_joined || added != self.last;
        self.last = added;
        // Those that are rolled up come by their hour or day, and not by window.
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end);
        self.totals.add(&cell.totals)
    }

    fn measures<'m>(&'m self, metric: &'m Metric) -> impl Iterator<Item = (&'m MeasureShape, &'m MeasureTotal)> {
        metric.measures.iter().zip(&self.totals.0)
    }

    /// The values by the names that the definition gives them. Where they are
    /// `converted`, those of money are in the base currency.
    pub(crate) fn values(&self, metric: &Metric, base: Base) -> Values {
        let named = |of: (&MeasureShape, &MeasureTotal)| (of.0.name.clone(), value(of, base));
        self.measures(metric).map(named).collect()
    }

    /// The value of one measure, by its position.
    pub(super) fn value(&self, at: usize, metric: &Metric, base: Base) -> Option<Value> {
        self.measures(metric).nth(at).map(|of| value(of, base))
    }

    /// The measures of money in the base currency; values that are given in it
    /// already are not told again.
    pub(crate) fn in_base(&self, metric: &Metric, base: Base) -> BaseValues {
        let mut values = BaseValues::default();
        for (shape, total) in self.measures(metric).filter(|(shape, _)| shape.money) {
            let InBase { value, unconverted } = total.in_base(base.currency);
            if !base.is_asked {
                values.converted.insert(shape.name.clone(), value);
            }
            if unconverted > 0 {
                values.unconverted.insert(shape.name.clone(), unconverted);
            }
        }
        values
    }

    /// The base currency that its money was converted to.
    fn base(&self) -> Option<Currency> {
        self.totals.0.iter().filter_map(MeasureTotal::base).min()
    }

    /// What the measures could not take as it was.
    pub(crate) fn gaps(&self, metric: &Metric) -> Gaps {
        let counted = |count: fn(&MeasureTotal) -> u64| {
            let named =
                metric.measures.iter().zip(&self.totals.0).map(|(named, total)| (named.name.clone(), count(total)));
            named.filter(|(_, count)| *count > 0).collect()
        };
        Gaps { unread: counted(|total| total.unread), rounded: counted(|total| total.rounded) }
    }

    /// The positions of the measures that are not exact.
    pub(super) fn inexact<'m>(
        &'m self,
        metric: &'m Metric,
        question: &'m Question,
    ) -> impl Iterator<Item = usize> + 'm {
        let is_inexact = |(shape, total): (&MeasureShape, &MeasureTotal)| match total.measure {
            Measure::DistinctKeyed(_) => self.is_joined && !question.holds(shape),
            _ => !total.measure.is_exact(),
        };
        self.measures(metric).enumerate().filter(move |(_, of)| is_inexact(*of)).map(|(at, _)| at)
    }

    /// What was added up of a measure, by its position.
    pub(super) fn total(&self, at: usize) -> Option<&MeasureTotal> {
        self.totals.0.get(at)
    }

    /// Has another total for a measure.
    pub(super) fn replace(&mut self, at: usize, total: MeasureTotal) {
        if let Some(state) = self.totals.0.get_mut(at) {
            *state = total;
        }
    }
}

/// What a measure came to, in the base currency where that is asked for.
fn value((shape, total): (&MeasureShape, &MeasureTotal), base: Base) -> Value {
    match shape.money && base.is_asked {
        true => total.in_base(base.currency).value,
        false => total.value(),
    }
}

/// Leaves out of a total what is in another base currency: it has no value in this one.
fn keep_base(totals: &mut Totals, base: Currency) {
    for total in &mut totals.0 {
        if let Some(other) = total.converted.take_if(|converted| converted.base != base) {
            total.unconverted = total.unconverted.saturating_add(other.rows);
        }
    }
}

/// The base currency of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Base {
    /// None where nothing is converted to any.
    pub(crate) currency: Option<Currency>,
    /// Whether amounts are asked for in it.
    pub(crate) is_asked: bool,
}

impl Base {
    /// Of a metric whose newest data is in this base currency. Where none of that is
    /// known, the totals say which one it is: of two the code decides, as where
    /// totals are added.
    pub(crate) fn of(newest: Option<Currency>, groups: &[DimensionGroup], is_asked: bool) -> Self {
        let sums = groups.iter().flat_map(|group| &group.sums);
        Self { currency: newest.or_else(|| sums.filter_map(Sum::base).min()), is_asked }
    }
}

/// One combination of the dimensions grouped by.
#[derive(Debug, Clone)]
pub(crate) struct DimensionGroup {
    /// Their values.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// One for each window or period, earliest first, or a single one for all.
    pub(crate) sums: Vec<Sum>,
}

/// Adds up cells: over partitions, over dimensions that are not grouped by,
/// and over windows, as far as they are rolled up.
pub(crate) struct Grouping<'a> {
    metric: &'a Metric,
    question: &'a Question,
    /// The only base currency that is added up.
    base: Option<Currency>,
    roller: Roller<'a>,
    limits: (usize, usize),
    /// The combinations of dimensions that were seen: their number, and their
    /// group, which is `None` for those filtered out.
    combinations: HashMap<String, (usize, Option<usize>)>,
    group_of: HashMap<BTreeMap<String, String>, usize>,
    groups: Vec<DimensionGroup>,
    sums: usize,
    cells: usize,
    source: Option<AnswerSource>,
}

impl<'a> Grouping<'a> {
    /// For an answer of at most `points` points, made of at most `cells` cells.
    pub(crate) fn new(metric: &'a Metric, question: &'a Question, rollup: Rollup, points: usize, cells: usize) -> Self {
        Self {
            metric,
            question,
            base: None,
            roller: Roller::new(metric, rollup),
            limits: (points, cells),
            combinations: HashMap::new(),
            group_of: HashMap::new(),
            groups: Vec::new(),
            sums: 0,
            cells: 0,
            source: None,
        }
    }

    /// Takes amounts in this base currency alone. A shop that has changed it has
    /// two, which are never added.
    pub(crate) fn in_base(self, base: Option<Currency>) -> Self {
        Self { base, ..self }
    }

    /// Adds a cell. Cells come by window, earliest first.
    pub(crate) fn add(&mut self, mut cell: StoredCell<'_>) -> Result<(), Error> {
        let (points, cells) = self.limits;
        self.cells += 1;
        if self.cells > cells {
            return Err(Error::TooMuch { what: "stored totals", limit: cells });
        }
        let (combination, Some(group)) = self.place(cell.dimensions)? else { return Ok(()) };
        self.source = Some(self.source.map_or(cell.source, |known| known.and(cell.source)));
        if let Some(base) = self.base {
            keep_base(&mut cell.totals, base);
        }
        let span = self.roller.span(&cell)?;
        let sums = &mut self.groups[group].sums;
        match sums.last_mut() {
            Some(sum) if self.roller.is_same(sum.start, span) => sum.add(&cell, span, combination).map_err(|source| {
                Error::Merge { metric: self.metric.name.clone(), version: self.metric.version.clone(), source }
            }),
            _ if self.sums >= points => Err(Error::TooMuch { what: "points", limit: points }),
            _ => {
                self.sums += 1;
                sums.push(Sum::of(cell, span, combination));
                Ok(())
            }
        }
    }

    fn place(&mut self, dimensions: &str) -> Result<(usize, Option<usize>), Error> {
        if let Some(place) = self.combinations.get(dimensions) {
            return Ok(*place);
        }
        let mut values: BTreeMap<String, String> = serde_json::from_str(dimensions)
            .map_err(|_| tidemill_store::Error::Malformed("combination of dimensions"))?;
        let passes =
            |(name, allowed): (&String, &BTreeSet<String>)| values.get(name).is_some_and(|v| allowed.contains(v));
        let group = self.question.filters.iter().all(passes).then(|| {
            values.retain(|name, _| self.question.group_by.contains(name));
            *self.group_of.entry(values).or_insert_with_key(|values| {
                self.groups.push(DimensionGroup { dimensions: values.clone(), sums: Vec::new() });
                self.groups.len() - 1
            })
        });
        let place = (self.combinations.len(), group);
        self.combinations.insert(dimensions.to_owned(), place);
        Ok(place)
    }

    /// Where the cells come from.
    pub(crate) fn source(&self) -> AnswerSource {
        self.source.unwrap_or_default()
    }

    /// How many cells were added.
    #[cfg(test)]
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// The groups in the order of their dimensions.
    pub(crate) fn finish(mut self) -> Vec<DimensionGroup> {
        self.groups.retain(|group| !group.sums.is_empty());
        self.groups.sort_by(|a, b| a.dimensions.cmp(&b.dimensions));
        self.groups
    }
}

/// The names of the measures that are not exact in any of an answer's sums.
pub(crate) fn approximate(metric: &Metric, question: &Question, groups: &[DimensionGroup]) -> Vec<String> {
    let sums = groups.iter().flat_map(|group| &group.sums);
    let inexact: BTreeSet<usize> = sums.flat_map(|sum| sum.inexact(metric, question)).collect();
    inexact.into_iter().filter_map(|at| metric.measures.get(at)).map(|measure| measure.name.clone()).collect()
}
