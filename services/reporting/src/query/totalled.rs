//! Totals of distinct counts that do not add up: taken from the metric that has
//! them.

use std::collections::BTreeMap;

use tidemill_domain::Timestamp;
use tidemill_totals::{MeasureTotal, Value};

use super::{
    adding::add_up,
    grouping::{DimensionGroup, Grouping},
    question::Question,
    resolution::Rollup,
};
use crate::{
    catalogue::{Catalogue, MeasureShape, Metric},
    error::Error,
    state::Reporting,
};

#[cfg(test)]
mod tests;

/// A measure of another metric.
struct TotalSource {
    metric: Metric,
    /// The position of the measure in it.
    at: usize,
}

/// From the first window of an answer to the end of its last. A total of more than
/// that would be one of what the metric itself does not have.
#[derive(Debug, Clone, Copy)]
struct Extent {
    start: Timestamp,
    end: Timestamp,
}

impl Extent {
    fn of(groups: &[DimensionGroup]) -> Option<Self> {
        let sums = || groups.iter().flat_map(|group| &group.sums);
        let (start, end) = (sums().map(|sum| sum.start).min()?, sums().map(|sum| sum.end).max()?);
        Some(Self { start, end })
    }
}

/// What another metric says of each sum of an answer: by the dimensions grouped
/// by, and by first instant in a series.
type FoundTotals = BTreeMap<(BTreeMap<String, String>, Option<Timestamp>), MeasureTotal>;

/// Takes the counts that do not hold in this answer from the metric that has them.
/// Where there is none, they stay as they were added up.
pub(super) async fn complete(
    (reporting, catalogue): (&Reporting, &Catalogue),
    metric: &Metric,
    question: &Question,
    rollup: Rollup,
    groups: &mut [DimensionGroup],
) -> Result<(), Error> {
    let (Some(there), Some(extent)) = (rollup_there(metric, rollup), Extent::of(groups)) else { return Ok(()) };
    for (at, measure) in metric.measures.iter().enumerate().filter(|(_, measure)| !question.holds(measure)) {
        let Some(source) = source(catalogue, metric, measure) else { continue };
        let Some(asked) = question.to_another(&source.metric) else { continue };
        // A total of events that the metric itself lacks would not be one of its rows.
        if !reporting.store.count_alike(metric, &source.metric, question.from).await? {
            continue;
        }
        match look_up(reporting, &source, &asked, there, extent).await {
            // It has no data of the first windows, as where nobody has said yet that it began anew.
            Ok(totals) if Extent::of(&totals).is_some_and(|known| known.start > extent.start) => {}
            Ok(totals) => take(groups, at, &found(totals, source.at, there), rollup),
            // What is too much to read is told as it was added up.
            Err(Error::TooMuch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The measure that a measure of a metric names, in the same generation.
fn source(catalogue: &Catalogue, of: &Metric, measure: &MeasureShape) -> Option<TotalSource> {
    let (name, measure) = measure.total.as_ref()?.split_once('.')?;
    let metric = catalogue.of_generation(name, of.generation())?.clone();
    let at = metric.measures.iter().position(|known| known.name == measure && known.kind == "count")?;
    Some(TotalSource { metric, at })
}

/// How windows there are put together to what `rollup` makes of the metric's.
fn rollup_there(metric: &Metric, rollup: Rollup) -> Option<Rollup> {
    match rollup {
        Rollup::Windows => metric.tile_millis().map(Rollup::Tiles),
        _ => Some(rollup),
    }
}

async fn look_up(
    reporting: &Reporting,
    source: &TotalSource,
    asked: &Question,
    rollup: Rollup,
    extent: Extent,
) -> Result<Vec<DimensionGroup>, Error> {
    let limits = &reporting.limits;
    let mut grouping = Grouping::new(&source.metric, asked, rollup, limits.points, limits.cells);
    let Extent { start, end } = extent;
    let shop = reporting.calendar.zone;
    add_up(&reporting.store, &source.metric, shop, (start, end), rollup, &mut grouping).await?;
    Ok(grouping.finish())
}

fn found(groups: Vec<DimensionGroup>, at: usize, rollup: Rollup) -> FoundTotals {
    let of_group = |DimensionGroup { dimensions, sums }: DimensionGroup| {
        sums.into_iter().filter_map(move |sum| {
            let key = (dimensions.clone(), rollup.point(sum.start));
            Some((key, sum.total(at)?.clone()))
        })
    };
    groups.into_iter().flat_map(of_group).collect()
}

/// A sum of nothing has no total elsewhere, and is right.
fn take(groups: &mut [DimensionGroup], at: usize, totals: &FoundTotals, rollup: Rollup) {
    for DimensionGroup { dimensions, sums } in groups {
        for sum in sums {
            let none = sum.total(at).is_some_and(|total| total.value() == Value::Count(0));
            let nothing = none.then(|| MeasureTotal::from(tidemill_totals::Measure::Count(0)));
            let total = totals.get(&(dimensions.clone(), rollup.point(sum.start))).cloned();
            if let Some(total) = total.or(nothing) {
                sum.replace(at, total);
            }
        }
    }
}
