//! What the unit tests build on.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{AlertState, AlertTransition, CellGroup, CellUpdate, DeadLetter, MetricsUpdate, SourceBooks};
use tidemill_totals::Measure;
use uuid::Uuid;

use crate::catalogue::Metric;

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

/// A metric of sales with a measure of each sort.
pub(crate) const SALES: &str = "\
name: sales_metrics
types: [order.placed]
window: {tumbling: 1m}
dimensions: {category: category, region: region}
measures:
  customers: {distinct: subject, within: partition}
  orders: {count: rows}
  quantity: {sum: order.quantity}
  revenue: {sum: order.revenue, money: currency}
";

pub(crate) fn sales() -> Metric {
    (&definition()).into()
}

fn definition() -> MetricDefinition {
    MetricDefinition::parse("sales.yaml", SALES).expect("is right")
}

/// A dead letter of a service.
pub(crate) fn dead_letter(service: &str, redriven_from: Option<u64>) -> DeadLetter {
    DeadLetter {
        release: "0".into(),
        first_failed_at: at(3_600_005),
        source: "shop".into(),
        redriven_from,
        ..DeadLetter::new(service, "1".into(), "c", String::new())
    }
}

/// What a partition says at a position: a function of both, as the real ones.
pub(crate) fn update(partition: u16, raw_seq: u64) -> MetricsUpdate {
    let cell = |n: u64| CellUpdate {
        retracted: false,
        group: CellGroup::new(
            "sales_metrics",
            &sales().version,
            [("category", format!("<script>{}</script>", n % 2)), ("region", "EU, \"\u{1f600}\"".into())],
        ),
        start: at((n % 3).cast_signed() * 60_000),
        end: at((n % 3 + 1).cast_signed() * 60_000),
        totals: definition().totals([
            ("customers", Measure::DistinctKeyed(raw_seq / 2)),
            ("orders", Measure::Count(raw_seq)),
            ("quantity", Measure::Sum(Amount::from_int(raw_seq.cast_signed()))),
            ("revenue", Measure::Sum(Amount::from_micros(i128::from(raw_seq) * 10_000))),
        ]),
        exemplar: None,
    };
    MetricsUpdate {
        partition: Partition::new(partition),
        raw_seq,
        raw_prev: 0,
        part: 0,
        as_of: at(raw_seq.cast_signed() * 10),
        watermark: Some(at(raw_seq.cast_signed() * 100)),
        idle: false,
        cells: vec![cell(raw_seq), cell(raw_seq + 1)],
        books: vec![SourceBooks {
            source: "shop, \"<b>\" \u{1f600}".into(),
            hour: at(3_600_000),
            counted: raw_seq,
            late: raw_seq / 3,
            duplicate: raw_seq / 5,
            repeated: raw_seq / 7,
        }],
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

/// Updates in the order of the log, and again in any order with repeats.
pub(crate) fn updates() -> impl Strategy<Value = (Vec<MetricsUpdate>, Vec<MetricsUpdate>)> {
    vec((0u16..3, 1u64..30), 0..20)
        .prop_flat_map(|positions| {
            let repeated: Vec<_> = positions.iter().chain(&positions).copied().collect();
            (Just(positions), Just(repeated).prop_shuffle())
        })
        .prop_map(|(mut straight, shuffled)| {
            straight.sort_unstable();
            straight.dedup();
            let made = |positions: Vec<(u16, u64)>| positions.into_iter().map(|(p, seq)| update(p, seq)).collect();
            (made(straight), made(shuffled))
        })
}

pub(crate) fn transition(id: u128, state: AlertState, at: Timestamp) -> AlertTransition {
    AlertTransition {
        id: Uuid::from_u128(id),
        rule: "REVENUE_SPIKE".into(),
        rule_version: "1".into(),
        severity: "warning".into(),
        state,
        title: "Revenue of <books> spikes".into(),
        summary: "\u{0} is text as well".into(),
        dimensions: BTreeMap::new(),
        values: BTreeMap::new(),
        event_time: Timestamp::EPOCH,
        at,
        partition: Partition::new(0),
        raw_seq: 1,
        trace: None,
    }
}
