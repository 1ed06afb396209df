use tidemill_domain::{Amount, Timestamp};
use tidemill_events::CellGroup;
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
        group: metric.cell_group([""; 0]),
        start: Timestamp::EPOCH,
        end: Timestamp::EPOCH.plus_millis(60_000),
        totals: Totals::of([
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
    let another = CellGroup::new("visits", "another", [("", ""); 0]);
    let stale = CellUpdate { group: another, ..live };
    assert_eq!(super::point(&stale, Partition::new(1), &metrics), None);
}
