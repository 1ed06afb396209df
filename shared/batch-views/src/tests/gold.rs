//! Gold, refreshed as silver grows, is what it is when it is made at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltalake::{
    arrow::array::RecordBatch,
    kernel::{Transaction, transaction::CommitProperties},
    operations::write::WriteBuilder,
    protocol::SaveMode,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tidemill_definitions::{MetricDefinition, Window};
use tidemill_lake_tables::{Lake, S3Config, StorageConfig, TableProperties};

use super::{
    Cells, cells_of, computed, definitions,
    events::{TestEvent, generated},
    table,
};
use crate::{Gold, LineageError, LineageQuestion, MetricPlan, RebuiltDays, ResultFormat, Scope, SqlEngine, SqlLimits};

pub(super) async fn append(lake: &Lake, path: &str, batch: RecordBatch) {
    let known = lake.existing(path).await.expect("is asked");
    let snapshot = known.as_ref().map(|table| table.snapshot().expect("loaded").snapshot().clone());
    let builder = WriteBuilder::new(lake.log_store(path).expect("a store"), snapshot);
    builder.with_input_batches([batch]).with_save_mode(SaveMode::Append).await.expect("is written");
}

pub(super) fn lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().display().to_string();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("opens");
    (folder, lake)
}

/// The table of a metric, as it is written.
async fn written(engine: &SqlEngine, metric: &Arc<MetricDefinition>) -> Cells {
    let context = engine.context();
    let path = format!("gold/{}", metric.name);
    engine.sources(&context, &[&path]).await.expect("is opened");
    let sql = format!("SELECT * EXCEPT (day) FROM gold.{}", metric.name);
    let batches = context.sql(&sql).await.expect("a question").collect().await.expect("an answer");
    cells_of(&MetricPlan::of(metric), &batches)
}

async fn at_once(engine: &SqlEngine, metric: &Arc<MetricDefinition>, scope: &Scope) -> Cells {
    let context = engine.context();
    engine.sources(&context, &["silver/events"]).await.expect("is opened");
    let plan = MetricPlan::of(metric);
    cells_of(&plan, &computed(&context, &plan, scope).await)
}

async fn check(parts: &[&[TestEvent]]) {
    let (_folder, lake) = lake();
    let (_definitions, metrics) = definitions();
    let engine = Arc::new(SqlEngine::new(lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine"));
    let gold = Gold::of(&metrics).expect("tables");
    let mut first = 1;
    for (n, part) in parts.iter().enumerate() {
        append(&lake, "silver/events", table::events(part, first)).await;
        first += i64::try_from(part.len()).expect("few");
        let refreshed = gold.refresh(&engine).await.expect("is computed");
        assert_eq!(refreshed.len(), metrics.len() + 1, "every table covers what is new");
        assert!(refreshed.iter().all(|table| n == 0 || table.days.is_some() || table.table == "gold.visits"));
        for metric in &metrics {
            let scope = Scope { base: base_of(&engine).await, ..Scope::default() };
            let (is, should) = (written(&engine, metric).await, at_once(&engine, metric, &scope).await);
            assert_eq!(is, should, "{} after part {n}", metric.name);
        }
        assert_eq!(gold.refresh(&engine).await.expect("is computed"), [], "nothing is new");
    }
}

async fn base_of(engine: &Arc<SqlEngine>) -> Option<tidemill_domain::Currency> {
    let sql = "SELECT base_currency FROM silver.events WHERE base_currency IS NOT NULL LIMIT 1";
    let csv = engine.query(sql, None).await.expect("an answer").write(ResultFormat::Csv).expect("is written");
    String::from_utf8(csv).expect("UTF-8").lines().nth(1).and_then(|code| code.parse().ok())
}

#[tokio::test]
async fn gold_grows_with_silver_by_the_days_that_changed() {
    let mut runner = TestRunner::deterministic();
    let events = prop::collection::vec(generated(), 3..=3).new_tree(&mut runner).expect("events").current();
    let parts: Vec<&[TestEvent]> = events.iter().map(Vec::as_slice).filter(|part| !part.is_empty()).collect();
    assert!(parts.len() > 1);
    check(&parts).await;
}

#[tokio::test]
async fn customers_are_in_the_segment_of_what_they_are_worth() {
    let (_folder, lake) = lake();
    append(
        &lake,
        "silver/orders",
        table::orders(&[
            ("o1", Some("ada"), "EUR", 9_000, 10),
            ("o2", Some("ada"), "USD", 2_000, 20),
            ("o3", Some("bob"), "EUR", 1_000, 30),
            ("o4", Some("eve"), "EUR", 5_001, 40),
            // A refund in another currency than its order's.
            ("o4", Some("eve"), "USD", -10, 40),
            ("o5", None, "EUR", 99_000, 50),
        ]),
    )
    .await;
    // In the base currency; a dollar is 0.9 of it.
    let lines = [
        ("o1", "EUR", 9_000),
        ("o2", "USD", 1_800),
        ("o3", "EUR", 1_000),
        ("o4", "EUR", 5_001),
        ("o4", "USD", -9),
        ("o5", "EUR", 99_000),
    ];
    append(&lake, "silver/order_lines", table::lines_in_base(&lines)).await;
    let engine = Arc::new(SqlEngine::new(lake, Vec::new(), SqlLimits::default()).expect("an engine"));
    let gold = Gold::of(&[]).expect("tables");
    let refreshed = gold.refresh(&engine).await.expect("is computed");
    let tables: BTreeSet<&str> = refreshed.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(tables, ["gold.customer_lifetime_value"].into());
    let sql = "SELECT customer, currency, value, orders, average, base_value, segment FROM customer_lifetime_value \
               ORDER BY customer, currency";
    let answer = engine.query(sql, None).await.expect("an answer").write(ResultFormat::Csv).expect("is written");
    let expected = "customer,currency,value,orders,average,base_value,segment\n\
        ada,EUR,9000.00,1,9000.00,9000.00,VIP\n\
        ada,USD,2000.00,1,2000.00,1800.00,VIP\n\
        bob,EUR,1000.00,1,1000.00,1000.00,Occasional\n\
        eve,EUR,5001.00,1,5001.00,5001.00,Regular\n\
        eve,USD,-10.00,1,-10.00,-9.00,Regular\n";
    assert_eq!(String::from_utf8(answer).expect("UTF-8"), expected);
    assert_eq!(gold.refresh(&engine).await.expect("is computed"), []);
}

const DAY: i64 = 86_400_000;
/// The day from which on silver still has its rows, in the second half of the events.
const KEPT: i64 = 900_000_000_000 / DAY + 2;

/// Cells of windows that begin on the days that silver has, and of those before.
fn halves(cells: Cells) -> (Cells, Cells) {
    cells.into_iter().partition(|(key, _)| {
        let start: tidemill_domain::Timestamp = key[0].parse().expect("a time");
        start.millis() >= KEPT * DAY
    })
}

/// Silver without the rows of days before, as retention leaves it, and with new ones.
async fn drop_before(lake: &Lake, rows: RecordBatch) {
    let table = lake.existing("silver/events").await.expect("is asked").expect("a table");
    let snapshot = table.snapshot().expect("loaded").snapshot().clone();
    let dropped =
        CommitProperties::default().with_application_transactions(vec![Transaction::new("tidemill.retention", KEPT)]);
    let builder = WriteBuilder::new(lake.log_store("silver/events").expect("a store"), Some(snapshot));
    let builder = builder.with_input_batches([rows]).with_save_mode(SaveMode::Overwrite);
    builder.with_commit_properties(dropped).await.expect("is written");
}

#[tokio::test]
async fn days_that_silver_has_no_more_stay_in_gold() {
    let mut runner = TestRunner::deterministic();
    let events = prop::collection::vec(generated(), 4..=4).new_tree(&mut runner).expect("events").current();
    let (before, after) = events.split_at(2);
    let (before, after) = (before.concat(), after.concat());
    let (_folder, lake) = lake();
    let (_definitions, metrics) = definitions();
    let engine = Arc::new(SqlEngine::new(lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine"));
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let gold = Gold::of(&metrics).expect("tables").with_properties(properties.clone());
    append(&lake, "silver/events", table::events(&before, 1)).await;
    gold.refresh(&engine).await.expect("is computed");
    let by_day = |metric: &&Arc<MetricDefinition>| !matches!(metric.window, Window::Session { .. });
    let mut old = Vec::new();
    for metric in metrics.iter().filter(by_day) {
        old.push(halves(written(&engine, metric).await).1);
    }
    assert!(old.iter().any(|cells| !cells.is_empty()), "there is something to be kept");
    // New ones come of all days, also of those that are gone.
    let kept = before.iter().filter(|event| event.time.millis() >= KEPT * DAY).chain(&after);
    let kept: Vec<TestEvent> = kept.cloned().collect();
    let first = i64::try_from(before.len()).expect("few") + 1;
    drop_before(&lake, table::events(&kept, first)).await;
    gold.refresh(&engine).await.expect("is computed");
    gold.rebuild(&engine, RebuiltDays::default(), drop).await.expect("is made anew");
    let scope = Scope { base: base_of(&engine).await, ..Scope::default() };
    for (metric, old) in metrics.iter().filter(by_day).zip(old) {
        let (new, gone) = halves(written(&engine, metric).await);
        assert_eq!(gone, old, "{}: days that are gone", metric.name);
        assert_eq!(new, halves(at_once(&engine, metric, &scope).await).0, "{}", metric.name);
    }
    let first = before.iter().map(|event| event.time).min().expect("events");
    let question = LineageQuestion {
        metric: "daily_sales".into(),
        window: first,
        dimensions: BTreeMap::new(),
        limit: 1,
        after: None,
    };
    let refused = gold.lineage(&engine, question).await.expect_err("is refused");
    assert!(matches!(refused, LineageError::EventsDropped { .. }), "{refused}");
    // Each table says whose it is, so that it can be kept up.
    for path in gold.paths().iter().filter(|path| *path != "gold/customer_lifetime_value") {
        assert!(lake.kept(path, &properties).await.expect("is ours").is_some(), "{path}");
        let other = TableProperties { owner: "b".into(), ..properties.clone() };
        assert!(lake.kept(path, &other).await.is_err(), "{path} is no other lake's");
    }
}
