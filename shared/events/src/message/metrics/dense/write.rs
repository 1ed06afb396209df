//! Writing cells.

use std::{borrow::Cow, collections::HashMap};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use tidemill_totals::{Totals, TotalsShape};

use super::{CellRemarks, MetricEntry};
use crate::message::metrics::cell::{CellMetric, CellUpdate};

pub(in crate::message::metrics) fn serialize<S: Serializer>(
    cells: &[CellUpdate],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let tables = CellTables::of(cells);
    let metrics: Vec<MetricEntry<'_>> = tables.metrics.iter().map(|(metric, shape)| entry(metric, shape)).collect();
    let mut object = serializer.serialize_struct("Cells", 3)?;
    object.serialize_field("metrics", &metrics)?;
    object.serialize_field("texts", &tables.texts)?;
    object.serialize_field("cells", &Rows { cells, tables: &tables })?;
    object.end()
}

fn entry<'m>(metric: &'m CellMetric, shape: &TotalsShape) -> MetricEntry<'m> {
    MetricEntry {
        metric: Cow::Borrowed(&metric.name),
        version: Cow::Borrowed(&metric.version),
        dimensions: Cow::Borrowed(&metric.dimensions),
        states: shape.clone(),
    }
}

/// What cells have in common, and where each has it.
#[derive(Default)]
struct CellTables<'c> {
    metrics: Vec<(&'c CellMetric, TotalsShape)>,
    texts: Vec<&'c str>,
    /// Of each cell, the place of its metric.
    metric_of: Vec<usize>,
    /// Of each cell, and of each of its dimensions, the place of the text.
    values: Vec<usize>,
}

impl<'c> CellTables<'c> {
    fn of(cells: &'c [CellUpdate]) -> Self {
        let mut tables = Self::default();
        let mut known: HashMap<&CellMetric, usize> = HashMap::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut last: Option<(&CellMetric, usize)> = None;
        for CellUpdate { group, totals, .. } in cells {
            let metric = &*group.metric;
            let place = match last {
                // Cells of one metric mostly share its name.
                Some((before, place)) if std::ptr::eq(before, metric) => place,
                _ => *known.entry(metric).or_insert_with(|| tables.add_metric(metric, totals)),
            };
            last = Some((metric, place));
            tables.metric_of.push(place);
            for value in &*group.values {
                let next = tables.texts.len();
                let place = *places.entry(value).or_insert(next);
                if place == next {
                    tables.texts.push(value);
                }
                tables.values.push(place);
            }
        }
        tables
    }

    fn add_metric(&mut self, metric: &'c CellMetric, totals: &Totals) -> usize {
        self.metrics.push((metric, TotalsShape::of(totals)));
        self.metrics.len() - 1
    }
}

struct Rows<'c> {
    cells: &'c [CellUpdate],
    tables: &'c CellTables<'c>,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = &*self.tables.values;
        serializer.collect_seq(self.cells.iter().zip(&self.tables.metric_of).map(|(cell, metric)| {
            let (own, rest) = values.split_at(cell.group.values.len());
            values = rest;
            CellRow { cell, metric: *metric, shape: &self.tables.metrics[*metric].1, values: own }
        }))
    }
}

struct CellRow<'c> {
    cell: &'c CellUpdate,
    metric: usize,
    shape: &'c TotalsShape,
    values: &'c [usize],
}

impl Serialize for CellRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CellUpdate { start, end, totals, exemplar, retracted, .. } = self.cell;
        let length = end.millis() - start.millis();
        let totals = self.shape.dense(totals);
        if exemplar.is_none() && !retracted {
            return (self.metric, start.millis(), length, self.values, totals).serialize(serializer);
        }
        let remarks = CellRemarks { exemplar: *exemplar, retracted: *retracted };
        (self.metric, start.millis(), length, self.values, totals, remarks).serialize(serializer)
    }
}
