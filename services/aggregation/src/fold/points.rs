//! Totals as points of the metrics store.

use std::collections::BTreeMap;

use tidemill_definitions::{MetricDefinition, Metrics, Window};
use tidemill_domain::Partition;
use tidemill_events::CellUpdate;
use tidemill_metrics_store::{FieldValue, Point};
use tidemill_totals::{Measure, Value};

/// A cell as a point: amounts as floats for charts, and rounded to millionths
/// beside them. `None` where the definition is not in force any more, or there
/// is no value yet.
///
/// A session's point stands at its start. It has two fields more: `end_millis`,
/// and `retracted`, which is 1 once the session has become part of another; all
/// other fields are zero then, so that the point adds nothing.
pub(crate) fn point(cell: &CellUpdate, partition: Partition, metrics: &Metrics) -> Option<Point> {
    let metric = metrics.get(cell.metric()).filter(|metric| metric.version() == cell.version())?;
    point_of(cell, partition, metric)
}

/// A cell of this definition as a point.
pub(crate) fn point_of(cell: &CellUpdate, partition: Partition, metric: &MetricDefinition) -> Option<Point> {
    let mut tags: BTreeMap<String, String> =
        cell.group.dimensions().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    tags.insert("partition".into(), partition.to_string());
    tags.insert("version".into(), cell.version().to_owned());
    let mut fields = BTreeMap::new();
    for (name, total) in metric.measures.keys().zip(&cell.totals.0) {
        if cell.retracted {
            write_zero(&mut fields, name, &total.measure);
        } else {
            write(&mut fields, name, &total.value());
        }
    }
    if fields.is_empty() {
        return None;
    }
    if matches!(metric.window, Window::Session { .. }) {
        fields.insert("end_millis".into(), FieldValue::Integer(cell.end.millis()));
        fields.insert("retracted".into(), FieldValue::Integer(cell.retracted.into()));
    }
    Some(Point { measurement: cell.metric().to_owned(), tags, fields, time: cell.start })
}

fn write(fields: &mut BTreeMap<String, FieldValue>, name: &str, value: &Value) {
    match value {
        Value::Count(n) => {
            fields.insert(name.into(), FieldValue::Integer(i64::try_from(*n).unwrap_or(i64::MAX)));
        }
        Value::Amount(amount) => {
            fields.insert(name.into(), FieldValue::Float(amount.to_f64()));
            if let Ok(micros) = i64::try_from(amount.micros()) {
                fields.insert(format!("{name}_micros"), FieldValue::Integer(micros));
            }
        }
        Value::Number(x) => {
            fields.insert(name.into(), FieldValue::Float(*x));
        }
        Value::None => {}
    }
}

/// Every field that a value of this measure may have had. InfluxDB keeps a
/// field that a later write of the point does not name.
fn write_zero(fields: &mut BTreeMap<String, FieldValue>, name: &str, measure: &Measure) {
    match measure {
        Measure::Count(_) | Measure::DistinctKeyed(_) | Measure::DistinctSketch(_) => {
            fields.insert(name.into(), FieldValue::Integer(0));
        }
        Measure::Sum(_) | Measure::Min(_) | Measure::Max(_) => {
            fields.insert(name.into(), FieldValue::Float(0.0));
            fields.insert(format!("{name}_micros"), FieldValue::Integer(0));
        }
        Measure::Average { .. } | Measure::Quantile { .. } => {
            fields.insert(name.into(), FieldValue::Float(0.0));
        }
    }
}

#[cfg(test)]
mod tests;
