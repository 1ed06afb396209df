//! Other engines read the tables, and come to the same by their own plans.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use deltalake::arrow::{
    array::{Array as _, AsArray as _},
    datatypes::TimestampMicrosecondType,
    util::display::array_value_to_string,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    computed, context, definitions,
    events::{TestEvent, generated},
    gold::{append, lake},
    table,
};
use crate::{MetricPlan, Scope, SqlDialect};

/// Metrics whose fields are typed, so that each engine reads the same numbers.
const TYPED: [&str; 7] =
    ["conversion", "daily_sales", "order_metrics", "product_views", "sales_metrics", "sliding", "visits"];

type Rows = Vec<BTreeMap<String, Option<String>>>;

/// An engine, and how it is asked.
struct OtherEngine {
    dialect: SqlDialect,
    /// A Python that has it.
    program: &'static str,
    script: &'static str,
    /// How it is installed.
    from: &'static str,
}

const DUCKDB: OtherEngine = OtherEngine {
    dialect: SqlDialect::DuckDb,
    program: "duckdb-python",
    script: "read_by_duckdb.py",
    from: "scripts/provision test",
};
const SPARK: OtherEngine = OtherEngine {
    dialect: SqlDialect::Spark,
    program: "spark-python",
    script: "read_by_spark.py",
    from: "make lake-test",
};

impl OtherEngine {
    /// Its answers, where it is there.
    fn asked(&self, question: &Value) -> Option<BTreeMap<String, Rows>> {
        let script = format!("{}/src/tests/{}", env!("CARGO_MANIFEST_DIR"), self.script);
        let child = Command::new(self.program).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                eprintln!("SKIPPED {}: {error} ({})", self.program, self.from);
                return None;
            }
        };
        child.stdin.take().expect("is piped").write_all(question.to_string().as_bytes()).expect("takes the question");
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{} failed, as it says above", self.program);
        Some(serde_json::from_slice(&output.stdout).expect("answers"))
    }
}

#[tokio::test]
async fn duckdb_comes_to_the_same() {
    comes_to_the_same(&DUCKDB).await;
}

#[tokio::test]
#[ignore = "make lake-test"]
async fn spark_comes_to_the_same() {
    comes_to_the_same(&SPARK).await;
}

async fn comes_to_the_same(engine: &OtherEngine) {
    let (folder, lake) = lake();
    let mut runner = TestRunner::deterministic();
    let tree = prop::collection::vec(generated(), 6..=6).new_tree(&mut runner).expect("events");
    let events: Vec<TestEvent> = tree.current().into_iter().flatten().collect();
    append(&lake, "silver/events", table::events(&events, 1)).await;
    append(&lake, "silver/order_lines", table::order_lines(&events)).await;
    let (_definitions, metrics) = definitions();
    let context = context(&metrics, &events);
    let plans: Vec<_> = metrics.iter().map(MetricPlan::of).collect();
    let sql = |plan: &MetricPlan| Some((plan.metric().name.clone(), plan.sql(engine.dialect, &Scope::default()).ok()?));
    // Whatever is no typed column is read by the engine's rules; but it has to run.
    let questions: BTreeMap<_, _> = plans.iter().filter_map(sql).collect();
    assert!(TYPED.iter().all(|typed| questions.contains_key(*typed)));
    let tables = ["silver/events", "silver/order_lines"];
    let question = json!({"root": folder.path(), "tables": tables, "questions": questions});
    let Some(answers) = engine.asked(&question) else { return };
    for plan in plans.iter().filter(|plan| TYPED.contains(&plan.metric().name.as_str())) {
        let mut own: Rows = Vec::new();
        for batch in computed(&context, plan, &Scope::default()).await {
            for row in 0..batch.num_rows() {
                let value = |name: &String| {
                    let column = batch.column_by_name(name)?;
                    if column.is_null(row) {
                        return Some((name.clone(), None));
                    }
                    let times = column.as_primitive_opt::<TimestampMicrosecondType>();
                    let text = match times {
                        Some(times) => times.value(row).to_string(),
                        None => array_value_to_string(column, row).expect("a text"),
                    };
                    Some((name.clone(), Some(text)))
                };
                let names = answers[&plan.metric().name].first().map(|row| row.keys().collect::<Vec<_>>());
                own.push(names.unwrap_or_default().into_iter().filter_map(value).collect());
            }
        }
        let mut theirs = answers[&plan.metric().name].clone();
        own.sort();
        theirs.sort();
        assert!(!theirs.is_empty(), "{} has rows", plan.metric().name);
        assert_eq!(own, theirs, "{}: ours, theirs by {}", plan.metric().name, engine.program);
    }
}
