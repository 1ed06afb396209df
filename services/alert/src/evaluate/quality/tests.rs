use serde_json::json;
use tidemill_domain::Partition;
use tidemill_events::{EnrichedBatch, Enrichment, event::splice_enrichment};

use super::*;
use crate::{evaluate::event::EventRules, rules::Rules};

const RULE: &str = "rule: LOW\non: quality\nseverity: warning\ntable: silver.events\nmeasure: high_quality_share\n\
    threshold: 0.9\ncondition: \"value < threshold\"\nclears: \"value >= 0.95\"\n\
    title: \"{table} {measure} {value}\"\n\
    summary: \"since {since}, was {previous}, may be {threshold}, of {checked} in {version}\"\n";

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_800_000_000_000 + seconds * 1000)
}

fn rules(text: &str, saved: &Saved) -> EventRules {
    let mut rules = Rules::default();
    let metrics = tidemill_definitions::Metrics::load(None).expect("metrics");
    rules.add("rule.yaml", text, &metrics).expect("the rule is right");
    EventRules::new(rules.event, saved, Arc::default()).with_quality(rules.quality, saved)
}

fn figure(measure: &str, value: f64) -> MeasuredFigure {
    MeasuredFigure {
        measure: measure.into(),
        contract: None,
        rule: None,
        severity: None,
        value,
        checked: Some(400),
        threshold: Some(0.8),
        good: None,
    }
}

/// An event of the lake, as it comes.
fn told(source: &str, table: &str, seconds: i64, figures: Vec<MeasuredFigure>) -> serde_json::Value {
    let measured =
        QualityMeasured { layer: "silver".into(), table: table.into(), version: 7, measured_at: at(seconds), figures };
    json!({ "specversion": "1.0", "id": format!("{table}-{seconds}"), "source": source,
        "type": QualityMeasured::TYPE, "time": at(seconds), "data": measured })
}

fn apply(rules: &EventRules, events: &[serde_json::Value]) -> StepChanges {
    let mut lines = Vec::new();
    for event in events {
        splice_enrichment(event.to_string().as_bytes(), &Enrichment::default(), &mut lines).expect("serialises");
    }
    let batch = EnrichedBatch {
        partition: Partition::new(3),
        raw_seq: 9,
        raw_prev: 8,
        remade: None,
        ingested_at: at(500),
        refdata: 1,
        count: events.len() as u32,
        types: None,
        lines: lines.into(),
        trace: None,
    };
    let mut changes = StepChanges::default();
    rules.apply(&batch, at(500), &mut changes);
    changes
}

/// The share at these moments.
fn share(values: &[(i64, f64)]) -> Vec<serde_json::Value> {
    let event = |(seconds, value): &(i64, f64)| {
        let figures = vec![figure("rows", 0.0), figure("high_quality_share", *value)];
        told("tidemill/lake", "silver.events", *seconds, figures)
    };
    values.iter().map(event).collect()
}

#[test]
fn it_fires_when_it_begins_and_again_after_it_has_ended() {
    let values = [(0, 0.97), (60, 0.85), (120, 0.8), (180, 0.92), (240, 0.88), (300, 0.96), (360, 0.5)];
    let changes = apply(&rules(RULE, &Saved::default()), &share(&values));
    let begun: Vec<Timestamp> = changes.alerts.iter().map(|alert| alert.firing.event_time).collect();
    assert_eq!(begun, [at(60), at(360)], "between the two thresholds it goes on");
    let first = &changes.alerts[0].firing;
    assert_eq!(first.title, "silver.events high_quality_share 0.85");
    assert_eq!(first.summary, format!("since {}, was 0.97, may be 0.9, of 400 in 7", at(60)));
    assert_eq!(first.dimensions["table"], "silver.events");
    assert_eq!(first.values["value"], tidemill_totals::Value::Number(0.85));
    let standing = changes.figures.into_values().collect::<Vec<_>>();
    assert_eq!(standing, [FigureStanding { measured_at: at(360), value: 0.5, since: Some(at(360)) }]);
}

#[test]
fn a_replica_that_takes_over_goes_on() {
    let values = share(&[(0, 0.97), (60, 0.85), (120, 0.8), (180, 0.96), (240, 0.5)]);
    let ids = |changes: &StepChanges| changes.alerts.iter().map(|alert| alert.firing.id).collect::<Vec<_>>();
    let at_once = ids(&apply(&rules(RULE, &Saved::default()), &values));
    assert_eq!(at_once.len(), 2);
    for cut in 0..=values.len() {
        let first = apply(&rules(RULE, &Saved::default()), &values[..cut]);
        let saved = Saved { figures: first.figures.clone(), ..Saved::default() };
        // What came before comes again, as after a crash.
        let second = apply(&rules(RULE, &saved), &values);
        assert_eq!([ids(&first), ids(&second)].concat(), at_once, "cut at {cut}");
    }
    let saved = Saved { figures: apply(&rules(RULE, &Saved::default()), &values).figures, ..Saved::default() };
    let other = RULE.replace("threshold: 0.9", "threshold: 0.6");
    assert_eq!(apply(&rules(&other, &saved), &values).alerts.len(), 1, "a changed rule begins anew");
}

#[test]
fn figures_of_others_and_of_nobody_are_passed_over() {
    let low = || vec![figure("high_quality_share", 0.1)];
    let events = [
        told("till", "silver.events", 0, low()),
        told("tidemill/recommendation", "silver.events", 60, low()),
        told("tidemill/lake", "silver.customers", 120, low()),
        told("tidemill/lake", "silver.events", 180, vec![figure("mean_score", 0.1)]),
        json!({ "specversion": "1.0", "id": "x", "source": "tidemill/lake", "type": QualityMeasured::TYPE,
            "time": at(240), "data": { "table": 5 } }),
        told("tidemill/lake", "silver.events", -2 * 24 * 3600, low()),
    ];
    let changes = apply(&rules(RULE, &Saved::default()), &events);
    assert!(changes.alerts.is_empty() && changes.figures.is_empty(), "{changes:?}");
}

#[test]
fn rules_of_contracts_are_told_apart() {
    let text = "rule: BROKEN\non: quality\nseverity: info\ncontract_rule: \"*\"\ncondition: \"value > 0.0\"\n\
        title: \"{contract}/{contract_rule}\"\nsummary: \"{value}\"\n";
    let failed = |rule: &str, value| MeasuredFigure {
        contract: Some("orders".into()),
        rule: Some(rule.into()),
        severity: Some("quarantine".into()),
        ..figure("failed_rows", value)
    };
    let figures = vec![failed("a", 1.0), failed("b", 0.0), failed("c", 2.0), figure("rows", 5.0)];
    let changes = apply(&rules(text, &Saved::default()), &[told("tidemill/lake", "silver.quarantine", 0, figures)]);
    let titles: Vec<&str> = changes.alerts.iter().map(|alert| alert.firing.title.as_str()).collect();
    assert_eq!(titles, ["orders/a", "orders/c"]);
    let one = text.replace("\"*\"", "c");
    let figures = vec![failed("a", 1.0), failed("c", 2.0)];
    let changes = apply(&rules(&one, &Saved::default()), &[told("tidemill/lake", "silver.quarantine", 0, figures)]);
    assert_eq!(changes.alerts.len(), 1);
}

#[test]
fn the_threshold_is_the_lakes_where_the_rule_has_none() {
    let text = include_str!("../../../rules/lake_behind.yaml");
    let late = |seconds, value| {
        let delay = MeasuredFigure { threshold: Some(300.0), ..figure("delay_seconds", value) };
        told("tidemill/lake", "bronze.events", seconds, vec![delay])
    };
    let changes = apply(&rules(text, &Saved::default()), &[late(0, 300.0), late(60, 360.5), late(120, 290.0)]);
    assert_eq!(changes.alerts.len(), 1);
    assert_eq!(changes.alerts[0].firing.title, "bronze.events is behind");
    assert!(changes.alerts[0].firing.summary.contains("360.5 s"), "{}", changes.alerts[0].firing.summary);
    let without = MeasuredFigure { threshold: None, ..figure("delay_seconds", 9_000.0) };
    let events = [told("tidemill/lake", "bronze.events", 0, vec![without])];
    assert!(apply(&rules(text, &Saved::default()), &events).alerts.is_empty());
}

/// As docs/lambda.md has the rule.
#[test]
fn drift_of_batch_views_is_a_figure_too() {
    let text = "rule: BATCH_DRIFT\non: quality\nseverity: critical\ntitle: \"{table}: the stream and the lake differ\"\n\
        summary: \"{value} totals differ since {since}. `tidemill drift` lists them.\"\nmeasure: drift_cells\n\
        threshold: 0\ncondition: \"value > threshold\"\n";
    let drift =
        |seconds, value| told("tidemill/reporting", "batch.daily_sales", seconds, vec![figure("drift_cells", value)]);
    let events = [drift(0, 0.0), drift(60, 2.0), drift(120, 3.0), drift(180, 0.0)];
    let alerts = apply(&rules(text, &Saved::default()), &events).alerts;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
}
