//! Views have the states that the stream keeps, by partition, to the last of their parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use deltalake::arrow::array::RecordBatch;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_events::{CellGroup, CellUpdate};
use tidemill_totals::Totals;
use tokio::sync::mpsc::channel;

use super::{
    context, definitions,
    events::{TestEvent, generated, marked},
    fold,
    gold::{append, lake},
    table,
};
use crate::{ComputedView, MetricPlan, Scope, SqlEngine, SqlLimits, ViewPart, ViewReach, ViewSource, views::StateRow};

type States = BTreeMap<(Partition, CellGroup, Timestamp), Totals>;

fn put(states: &mut States, partition: Partition, cell: CellUpdate) {
    let key = (partition, cell.group, cell.start);
    assert!(states.insert(key.clone(), cell.totals).is_none(), "{key:?} is there twice");
}

/// What the stream has of all metrics with views, by metric.
fn streamed(folder: &Path, events: &[TestEvent]) -> BTreeMap<String, States> {
    let mut states: BTreeMap<String, States> = BTreeMap::new();
    for partition in 0..3 {
        for cell in fold::changed(folder, partition, events) {
            put(states.entry(cell.metric().to_owned()).or_default(), Partition::new(partition), cell);
        }
    }
    states
}

fn same(metric: &str, batch: &States, stream: &States) {
    let keys: BTreeSet<_> = batch.keys().chain(stream.keys()).collect();
    for key in keys {
        let (Some(batch), Some(stream)) = (batch.get(key), stream.get(key)) else {
            panic!("{metric}: {key:?} is on one side: {:?}, {:?}", batch.get(key), stream.get(key));
        };
        assert!(batch.comes_to_the_same(stream), "{metric}, {key:?}: batch {batch:?}, stream {stream:?}");
    }
}

fn with_views(metrics: &[Arc<MetricDefinition>]) -> impl Iterator<Item = &Arc<MetricDefinition>> {
    metrics.iter().filter(|metric| ViewSource::has_views(metric))
}

fn read(metric: &MetricDefinition, batches: &[RecordBatch], bases: &[Currency]) -> States {
    let mut states = States::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let (partition, cell) = StateRow::of(batch, row).cell(metric, bases).expect("a cell");
            put(&mut states, partition, cell);
        }
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn states_are_those_of_the_stream(events in generated()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (folder, metrics) = definitions();
        let context = context(&metrics, &events);
        let stream = streamed(folder.path(), &events);
        // Those that nobody has used have no rows.
        let bases = ["AUD", "EUR"].map(|code| code.parse().expect("a currency"));
        for metric in with_views(&metrics) {
            let sql = MetricPlan::of(metric).states_sql(&Scope::default(), &bases);
            let batches = runtime.block_on(async { context.sql(&sql).await.expect("a plan").collect().await });
            let batch = read(metric, &batches.expect("is computed"), &bases);
            same(&metric.name, &batch, stream.get(&metric.name).unwrap_or(&States::new()));
        }
    }
}

/// The totals of a metric, behind what is known.
async fn view(
    source: &ViewSource,
    metric: &Arc<MetricDefinition>,
    known: Option<&ViewReach>,
) -> Option<(ComputedView, BTreeMap<(Partition, CellGroup, Timestamp), (u64, Totals)>)> {
    let (parts, mut told) = channel::<ViewPart>(1);
    let since = Timestamp::saturating_from_millis(i64::MIN);
    let gather = async {
        let mut states = BTreeMap::new();
        while let Some(part) = told.recv().await {
            for cell in part.cells {
                states.insert((part.partition, cell.group, cell.start), (part.raw_seq, cell.totals));
            }
        }
        states
    };
    let compute = async move { source.compute(metric, known, since, &parts).await.expect("is computed") };
    let (computed, states) = tokio::join!(compute, gather);
    Some((computed?, states))
}

#[tokio::test]
async fn a_view_has_what_is_new_and_says_how_far_it_is() {
    let mut runner = TestRunner::deterministic();
    let events = prop::collection::vec(generated(), 3..=3).new_tree(&mut runner).expect("events").current();
    let all: Vec<TestEvent> = marked(events.into_iter().flatten());
    let (first, then) = all.split_at(all.len() / 2);
    let (_folder, lake) = lake();
    let (folder, metrics) = definitions();
    let engine = Arc::new(SqlEngine::new(lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine"));
    assert!(ViewSource::open(&engine).await.expect("opens").is_none(), "there is no silver yet");
    append(&lake, "silver/events", table::events(first, 1)).await;
    let before = ViewSource::open(&engine).await.expect("opens").expect("silver");
    append(&lake, "silver/events", table::events(then, i64::try_from(first.len()).expect("few") + 1)).await;
    let after = ViewSource::open(&engine).await.expect("opens").expect("silver");
    let stream = streamed(folder.path(), &all);
    for metric in with_views(&metrics) {
        let (whole, mut states) = view(&before, metric, None).await.expect("a view");
        assert_eq!(whole.cells, states.len() as u64);
        let (known, reach) = (before.reach(), after.reach());
        let (newer, more) = view(&after, metric, Some(&known)).await.expect("a view");
        assert_eq!(newer.cells, more.len() as u64);
        let reach: BTreeMap<_, _> = reach.sequences().collect();
        for ((partition, ..), (raw_seq, _)) in &more {
            assert_eq!(*raw_seq, reach[partition], "{}", metric.name);
        }
        let started = |start: &Timestamp| newer.computed.iter().any(|span| *start >= span.from && *start < span.to);
        assert!(more.keys().all(|(_, _, start)| started(start)), "{}", metric.name);
        states.extend(more);
        let states = states.into_iter().map(|(key, (_, totals))| (key, totals)).collect();
        same(&metric.name, &states, stream.get(&metric.name).unwrap_or(&States::new()));
        assert_eq!(view(&after, metric, Some(&after.reach())).await, None, "nothing is new");
    }
    let written = serde_json::to_string(&after.reach()).expect("is written");
    assert_eq!(serde_json::from_str::<ViewReach>(&written).expect("is read"), after.reach());
}

#[tokio::test]
async fn a_lake_that_joined_later_tells_of_days_that_it_has_seen_whole() {
    let mut runner = TestRunner::deterministic();
    let events = marked(generated().new_tree(&mut runner).expect("events").current());
    let (_folder, lake) = lake();
    let (_definitions, metrics) = definitions();
    let engine = Arc::new(SqlEngine::new(lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine"));
    append(&lake, "silver/events", table::events(&events, 2)).await;
    let source = ViewSource::open(&engine).await.expect("opens").expect("silver");
    let received = events.iter().map(|event| event.time.millis()).min().expect("events");
    let first = Timestamp::saturating_from_millis((received.div_euclid(86_400_000) + 2) * 86_400_000);
    let metric = metrics.iter().find(|metric| metric.name == "daily_sales").expect("is defined");
    let (view, states) = view(&source, metric, None).await.expect("a view");
    assert_eq!(view.since, first);
    assert!(states.keys().all(|(_, _, start)| *start >= first));
}
