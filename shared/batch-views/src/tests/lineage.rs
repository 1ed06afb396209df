//! Numbers of gold lead back to their events.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Value};
use tidemill_definitions::MetricDefinition;

use super::{
    definitions,
    events::{TestEvent, generated, marked},
    gold::{append, lake},
    table,
};
use crate::{
    EventPosition, Gold, LeftOutEvents, LeftOutReason, Lineage, LineageError, LineageQuestion, MetricPlan, SqlEngine,
    SqlLimits,
};

struct Traced {
    _folder: tempfile::TempDir,
    _definitions: tempfile::TempDir,
    lake: tidemill_lake_tables::Lake,
    metrics: Vec<Arc<MetricDefinition>>,
    engine: Arc<SqlEngine>,
    gold: Gold,
    events: Vec<TestEvent>,
    /// How many of the events gold has.
    counted: usize,
}

impl Traced {
    /// A lake whose gold lacks the last quarter of silver; bronze has each event, and the first one twice.
    async fn new() -> Self {
        let mut runner = TestRunner::deterministic();
        let events = prop::collection::vec(generated(), 5..=5).new_tree(&mut runner).expect("events").current();
        // All within hours, so that numbers are of several events and none is late.
        let events = marked(events.into_iter().flatten().filter(|event| event.time.millis() < events_end()));
        let (folder, lake) = lake();
        let (definitions, metrics) = definitions();
        let engine = Arc::new(SqlEngine::new(lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine"));
        let gold = Gold::of(&metrics).expect("tables");
        let counted = events.len() * 3 / 4;
        append(&lake, "silver/events", table::events(&events[..counted], 1)).await;
        append(&lake, "bronze/events", table::bronze(&events, 1)).await;
        append(&lake, "bronze/events", table::bronze(&events[..1], sequence(events.len()) + 1)).await;
        gold.refresh(&engine).await.expect("is computed");
        append(&lake, "silver/events", table::events(&events[counted..], sequence(counted) + 1)).await;
        Self { _folder: folder, _definitions: definitions, lake, metrics, engine, gold, events, counted }
    }

    async fn rows(&self, sql: &str) -> Vec<Map<String, Value>> {
        self.engine.query(sql, None).await.expect("an answer").objects().expect("objects")
    }

    /// A question for a number that gold has.
    async fn question(&self, metric: &Arc<MetricDefinition>, place: usize) -> Option<LineageQuestion> {
        let sql = format!("SELECT * FROM gold.{} ORDER BY window_start LIMIT 1 OFFSET {place}", metric.name);
        let row = self.rows(&sql).await.pop()?;
        let columns = MetricPlan::of(metric);
        let named = metric.dimensions.keys().zip(&columns.columns().dimensions);
        let value = |column: &str| row[column].as_str().expect("a text").to_owned();
        let dimensions = named.map(|(name, column)| (name.clone(), value(column))).collect();
        let window = value("window_start").parse().expect("a time");
        Some(LineageQuestion { metric: metric.name.clone(), window, dimensions, limit: 500, after: None })
    }

    async fn trace(&self, question: &LineageQuestion) -> Result<Lineage, LineageError> {
        self.gold.lineage(&self.engine, question.clone()).await
    }

    fn metric(&self, name: &str) -> &Arc<MetricDefinition> {
        self.metrics.iter().find(|metric| metric.name == name).expect("a metric")
    }
}

fn events_end() -> i64 {
    900_000_000_000 + 7_200_000
}

fn sequence(n: usize) -> i64 {
    i64::try_from(n).expect("few")
}

/// Positions of all events, asked for so many at a time.
async fn in_parts(traced: &Traced, question: &LineageQuestion, limit: usize) -> Vec<EventPosition> {
    let mut question = LineageQuestion { limit, ..question.clone() };
    let mut positions = Vec::new();
    loop {
        let lineage = traced.trace(&question).await.expect("is traced");
        positions.extend(lineage.events.iter().map(|event| event.position));
        match lineage.next {
            Some(next) => question.after = Some(next.parse().expect("a position")),
            None => return positions,
        }
    }
}

#[tokio::test]
async fn every_number_is_what_its_events_come_to() {
    let traced = Traced::new().await;
    let mut seen = BTreeSet::new();
    let daily = include_str!("../../gold/daily_metrics.yaml");
    let daily = Arc::new(MetricDefinition::parse("daily_metrics.yaml", daily).expect("parses"));
    assert!(traced.question(&daily, 0).await.is_some(), "there are orders");
    for metric in traced.metrics.iter().chain([&daily]) {
        for place in [0, 3] {
            let Some(question) = traced.question(metric, place).await else { continue };
            let lineage = traced.trace(&question).await.unwrap_or_else(|error| panic!("{}: {error}", metric.name));
            let numbers = &lineage.numbers;
            assert!(lineage.equal, "{}: {numbers:?}", metric.name);
            assert!(numbers.iter().all(|number| number.again.is_some()), "{}", metric.name);
            let (events, rows) = lineage.made_of.iter().fold((0, 0), |sum, of| (sum.0 + of.events, sum.1 + of.rows));
            assert_eq!(events, sequence(lineage.events.len()), "{}", metric.name);
            let told: usize = lineage.events.iter().map(|event| event.rows_total).sum();
            assert_eq!(rows, sequence(told), "{}", metric.name);
            for event in &lineage.events {
                assert!(event.position.raw_seq <= sequence(traced.counted), "gold has it");
                let line = event.event.as_deref().expect("bronze has it");
                assert!(line.starts_with(&format!("{} ", event.position.raw_seq)), "{line}");
                assert!(!event.rows.is_empty());
            }
            seen.extend(lineage.left_out.iter().map(|left_out| format!("{:?}", left_out.reason)));
            seen.insert(metric.window.kind().to_owned());
        }
    }
    let expected = ["NoRow", "NotInSilver", "session", "sliding", "tumbling"].map(String::from);
    assert!(seen.is_superset(&expected.into()), "{seen:?}");
}

#[tokio::test]
async fn events_are_told_a_part_at_a_time_and_what_is_changed_is_seen() {
    let traced = Traced::new().await;
    let metric = traced.metric("daily_sales");
    let mut question = traced.question(metric, 0).await.expect("a number");
    question.dimensions.clear();
    let lineage = traced.trace(&question).await.expect("is traced");
    assert!(lineage.numbers.len() > 1 && lineage.events.len() > 3, "several");
    let all: Vec<_> = lineage.events.iter().map(|event| event.position).collect();
    assert_eq!(in_parts(&traced, &question, all.len() / 2).await, all);
    let not_in_silver = lineage.left_out.iter().find(|left_out| left_out.reason == LeftOutReason::NotInSilver);
    let is_of_metric = metric.types.iter().any(|kind| kind == traced.events[0].kind);
    assert_eq!(not_in_silver.is_some(), is_of_metric);

    let is_behind = |left_out: &LeftOutEvents| left_out.reason == LeftOutReason::BehindGold;
    assert!(lineage.left_out.iter().any(is_behind), "{:?}", lineage.left_out);

    // A row that was not there when gold was computed.
    let again = traced
        .events
        .iter()
        .find(|event| event.kind == "order.placed" && !event.late && !event.enrichment.lines.is_empty());
    append(&traced.lake, "silver/events", table::events(&[again.expect("one").clone()], 1)).await;
    let lineage = traced.trace(&question).await.expect("is traced");
    assert!(!lineage.equal, "{:?}", lineage.numbers);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let traced = Traced::new().await;
    let question = traced.question(traced.metric("sales_metrics"), 0).await.expect("a number");
    let with = |change: &dyn Fn(&mut LineageQuestion)| {
        let mut question = question.clone();
        change(&mut question);
        question
    };
    let told = async |question: LineageQuestion| traced.trace(&question).await.expect_err("is refused").to_string();
    let unknown = told(with(&|question| question.metric = "sales".into())).await;
    assert!(
        unknown.starts_with("there is no metric \"sales\"; there are") && unknown.contains("sales_metrics"),
        "{unknown}"
    );
    let unknown = told(with(&|question| drop(question.dimensions.insert("colour".into(), "red".into())))).await;
    assert!(unknown.contains("there are category, currency, region"), "{unknown}");
    let unknown = told(with(&|question| drop(question.dimensions.insert("category".into(), "Cars".into())))).await;
    assert!(unknown.starts_with("category is not \"Cars\" in that window; there are "), "{unknown}");
    let unknown = told(with(&|question| question.window = question.window.plus_millis(-86_400_000))).await;
    assert!(unknown.contains("the first that has starts at 1998-"), "{unknown}");
}
