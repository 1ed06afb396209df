//! What the batch views of the built-in metrics take over 90 days of a shop, beside
//! DuckDB on the same Parquet in the same run: seconds of CPU of each, with two threads.
//! Every cell has to be equal.
//!
//! `cargo bench --package tidemill-batch-views --bench views -- 2000000` takes so many
//! events. DuckDB is that of `scripts/provision test`.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench tells its figures, or ends")]

mod shop;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use deltalake::arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
    util::display::array_value_to_string,
};
use serde::Deserialize;
use serde_json::json;
use tidemill_batch_views::{MetricPlan, Scope, SqlDialect, SqlEngine, SqlLimits, measured};
use tidemill_definitions::{MeasureKind, Metrics};
use tidemill_totals::SKETCH_SIZE;

const EVENTS: u64 = 2_000_000;
const TABLES: [&str; 2] = ["silver/events", "silver/order_lines"];

type Rows = Vec<BTreeMap<String, Option<String>>>;

#[derive(Deserialize)]
struct Answer {
    seconds: f64,
    rows: Rows,
}

/// What this process has had.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn by_duckdb(root: &Path, questions: &BTreeMap<String, String>) -> BTreeMap<String, Answer> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/views/by_duckdb.py");
    let child = Command::new("duckdb-python").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("duckdb-python, of scripts/provision test");
    let question = json!({"root": root, "tables": TABLES, "questions": questions}).to_string();
    child.stdin.take().expect("is piped").write_all(question.as_bytes()).expect("takes the question");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "DuckDB failed, as it says above");
    serde_json::from_slice(&output.stdout).expect("answers")
}

/// The same columns as DuckDB's rows have.
fn rows_of(batches: &[RecordBatch], names: &[String]) -> Rows {
    let text = |batch: &RecordBatch, name: &String, row: usize| {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("{name} is missing"));
        let value = || match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => times.value(row).to_string(),
            None => match column.as_primitive_opt::<Int64Type>() {
                Some(numbers) => numbers.value(row).to_string(),
                None => array_value_to_string(column, row).expect("a text"),
            },
        };
        (name.clone(), column.is_valid(row).then(value))
    };
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| names.iter().map(|name| text(batch, name, row)).collect()).collect()
}

/// Beyond so many values, a distinct count that is no metric within a partition is an
/// estimate here, and exact there: it is left out of both, if it is within 15 %.
fn without_estimates(plan: &MetricPlan, own: &mut Rows, theirs: &mut Rows) -> usize {
    let measures = plan.metric().measures.iter();
    let estimated: Vec<&String> = measures
        .filter(|(_, measure)| matches!(measure.kind, MeasureKind::Distinct { within_partition: false, .. }))
        .map(|(name, _)| name)
        .collect();
    let key = |row: &BTreeMap<String, Option<String>>| {
        let of_measures =
            |name: &String| plan.metric().measures.keys().any(|measure| name.starts_with(measure.as_str()));
        row.iter().filter(|(name, _)| !of_measures(name)).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    own.sort_by_key(key);
    theirs.sort_by_key(key);
    let number = |row: &BTreeMap<String, Option<String>>, name: &String| {
        row[name].as_ref().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default()
    };
    let mut left_out = 0;
    for (one, other) in own.iter_mut().zip(theirs) {
        for name in &estimated {
            let (is, should) = (number(one, name), number(other, name));
            if should > SKETCH_SIZE as f64 && (is - should).abs() < should * 0.15 {
                one.insert((*name).clone(), None);
                other.insert((*name).clone(), None);
                left_out += 1;
            }
        }
    }
    left_out
}

fn main() {
    let named = std::env::args().skip(1).find_map(|argument| argument.parse::<u64>().ok());
    let events = named.unwrap_or(EVENTS);
    let folder = tempfile::tempdir().expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let lake = runtime.block_on(shop::write(folder.path(), events));
    let metrics: Vec<_> = Metrics::load(None).expect("are built in").iter().cloned().map(Arc::new).collect();
    let engine = SqlEngine::new(lake, metrics.clone(), SqlLimits::default()).expect("an engine");
    let plans: Vec<_> = metrics.iter().map(MetricPlan::of).collect();
    let sql = |plan: &MetricPlan, dialect| plan.sql(dialect, &Scope::default()).expect("a plan");
    let name = |plan: &MetricPlan| plan.metric().name.clone();
    let questions = plans.iter().map(|plan| (name(plan), sql(plan, SqlDialect::DuckDb))).collect();
    let mut theirs = by_duckdb(folder.path(), &questions);
    let (mut own_sum, mut their_sum, mut cells) = (0.0, 0.0, 0);
    println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "metric", "rows", "ours s", "DuckDB s", "ratio");
    for plan in &plans {
        let before = cpu();
        let batches = runtime.block_on(measured::computed(&engine, &TABLES, &sql(plan, SqlDialect::DataFusion)));
        let seconds = (cpu() - before).as_secs_f64();
        let Answer { seconds: their_seconds, rows } = theirs.get_mut(&name(plan)).expect("is answered");
        let names: Vec<String> = rows.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let count = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(count, rows.len(), "{}: rows", name(plan));
        let mut own = rows_of(&batches, &names);
        let left_out = without_estimates(plan, &mut own, rows);
        assert!(own == *rows, "{}: a cell differs", name(plan));
        cells += count * names.len() - left_out;
        println!("{:<16} {count:>8} {seconds:>8.2} {their_seconds:>8.2} {:>8.2}", name(plan), seconds / *their_seconds);
        (own_sum, their_sum) = (own_sum + seconds, their_sum + *their_seconds);
    }
    println!("{:<16} {:>8} {own_sum:>8.2} {their_sum:>8.2} {:>8.2}", "all", "", own_sum / their_sum);
    println!("{cells} cells are equal");
}
