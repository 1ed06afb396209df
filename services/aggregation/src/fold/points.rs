//! Totals as points of the metrics store.

use std::collections::BTreeMap;

use tidemill_definitions::{Metrics, Window};
use tidemill_domain::Partition;
use tidemill_events::CellUpdate;
use tidemill_metrics_store::{FieldValue, Point};
use tidemill_totals::{Measure, Value};

/// A cell as a point: amounts as floats for charts, and exactly in millionths
/// beside them. `None` where the definition is not in force any more, or there
/// is no value yet.
///
/// A session's point stands at its start. It has two fields more: `end_millis`,
/// and `retracted`, which is 1 once the session has become part of another; all
/// other fields are zero then, so that the point adds nothing.
pub(crate) fn point(cell: &CellUpdate, partition: Partition, metrics: &Metrics) -> Option<Point> {
    let metric = metrics.get(&cell.metric).filter(|metric| metric.version() == cell.version)?;
    let mut tags = cell.dimensions.clone();
    tags.insert("partition".into(), partition.to_string());
    tags.insert("version".into(), cell.version.clone());
    let mut fields = BTreeMap::new();
    for (name, measure) in metric.measures.keys().zip(&cell.totals.0) {
        if cell.retracted {
            write_zero(&mut fields, name, measure);
        } else {
            write(&mut fields, name, &measure.value());
        }
    }
    if fields.is_empty() {
        return None;
    }
    if matches!(metric.window, Window::Session { .. }) {
        fields.insert("end_millis".into(), FieldValue::Integer(cell.end.millis()));
        fields.insert("retracted".into(), FieldValue::Integer(cell.retracted.into()));
    }
    Some(Point { measurement: cell.metric.clone(), tags, fields, time: cell.start })
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
mod tests {
    use tidemill_domain::{Amount, Timestamp};
    use tidemill_totals::Totals;

    use super::*;
    use crate::testing::metrics;

    #[test]
    fn a_retracted_session_overwrites_every_field_of_its_point() {
        let metrics = metrics(
            "name: visits\ntypes: [a]\nwindow: {session: {gap: 1m}}\nmeasures:\n  a: {average: data.n}\n  \
             b: {min: data.n}\n  c: {distinct: data.n, within: partition}\n  d: {sum: data.n}\n",
        );
        let metric = metrics.get("visits").expect("is defined");
        let five = Amount::from_int(5);
        let live = CellUpdate {
            metric: "visits".into(),
            version: metric.version().into(),
            start: Timestamp::EPOCH,
            end: Timestamp::EPOCH.plus_millis(60_000),
            dimensions: BTreeMap::new(),
            totals: Totals(vec![
                Measure::Average { sum: five, count: 1 },
                Measure::Min(Some(five)),
                Measure::DistinctKeyed(1),
                Measure::Sum(five),
            ]),
            exemplar: None,
            retracted: false,
        };
        let gone = CellUpdate { retracted: true, totals: live.totals.nothing(), ..live.clone() };
        let point = |cell| point(cell, Partition::new(1), &metrics).expect("a point");
        let (before, after) = (point(&live), point(&gone));
        assert_eq!((&before.tags, before.time), (&after.tags, after.time));
        assert_eq!(before.fields.keys().collect::<Vec<_>>(), after.fields.keys().collect::<Vec<_>>());
        for (name, value) in &after.fields {
            let expected = match name.as_str() {
                "retracted" => 1.0,
                "end_millis" => 60_000.0,
                _ => 0.0,
            };
            let value = match value {
                FieldValue::Integer(n) => *n as f64,
                FieldValue::Float(x) => *x,
            };
            assert_eq!(value, expected, "{name}");
        }
        let stale = CellUpdate { version: "another".into(), ..live };
        assert!(super::point(&stale, Partition::new(1), &metrics).is_none());
    }
}
