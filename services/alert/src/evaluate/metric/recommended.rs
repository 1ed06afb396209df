//! The built-in rule over how good recommendations are.

use std::sync::Arc;

use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_events::{CellUpdate, MetricsUpdate};
use tidemill_totals::Measure;

use super::MetricRules;
use crate::{rules::Rules, state::Saved};

const WINDOW: i64 = 300_000;

fn window(index: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_800_000_000_000 + index * WINDOW)
}

fn rules(metrics: &Metrics) -> MetricRules {
    let mut rules = Rules::default();
    let text = include_str!("../../../rules/recommendation_quality.yaml");
    rules.add("rule.yaml", text, metrics).expect("the rule is right");
    MetricRules::new(rules.metric, metrics, &Saved::default(), Arc::default())
}

/// What came of so many predictions in a window, all that comes before being known.
fn told(metrics: &Metrics, index: i64, cases: i64, hits: i64) -> MetricsUpdate {
    let definition = metrics.get("recommendation_quality").expect("it is always there");
    let sum = |count| Measure::Sum(Amount::from_int(count));
    let cell = CellUpdate {
        retracted: false,
        group: definition.cell_group::<&str>([]),
        start: window(index),
        end: window(index + 1),
        totals: definition.totals([("cases", sum(cases)), ("hits", sum(hits)), ("reciprocal_rank", sum(hits))]),
        exemplar: None,
    };
    MetricsUpdate {
        partition: Partition::new(0),
        raw_seq: u64::try_from(index).expect("few") + 1,
        raw_prev: 0,
        part: 0,
        as_of: window(20),
        watermark: Some(window(index)),
        idle: false,
        cells: vec![cell],
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

/// The windows in which it fires, of predictions and hits by window.
fn fired(figures: &[(i64, i64)]) -> Vec<usize> {
    let metrics = Metrics::load(None).expect("the defaults load");
    let mut rules = rules(&metrics);
    let fired = |(index, (cases, hits)): (usize, &(i64, i64))| {
        let place = i64::try_from(index).expect("few");
        let alerts = rules.apply(&[told(&metrics, place, *cases, *hits)], window(20)).alerts;
        (!alerts.is_empty()).then_some(index)
    };
    figures.iter().enumerate().filter_map(fired).collect()
}

#[test]
fn a_hit_rate_far_below_that_of_the_hour_before_fires() {
    let hour = [(400, 120); 6];
    let of = |last| fired(&[&hour[..], &[last]].concat());
    assert_eq!(of((400, 60)), [6], "0.15 after 0.30");
    assert_eq!(of((300, 70)), [0_usize; 0], "0.23 is above seven tenths of 0.30");
    assert_eq!(of((150, 0)), [0_usize; 0], "too few to tell");
    assert_eq!(fired(&[(400, 120), (400, 10)]), [0_usize; 0], "nothing to compare with yet");
}
