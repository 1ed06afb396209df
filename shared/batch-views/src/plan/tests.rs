use tidemill_definitions::Metrics;

use super::*;

fn plan(definition: &str) -> MetricPlan {
    MetricPlan::of(&Arc::new(MetricDefinition::parse("m.yaml", definition).expect("a definition")))
}

fn built_in(name: &str) -> MetricPlan {
    let metrics = Metrics::load(None).expect("the defaults");
    MetricPlan::of(&Arc::new(metrics.get(name).expect("is there").clone()))
}

#[test]
fn each_engine_gets_its_own_words() {
    let plan = built_in("sales_metrics");
    let sql = |dialect| plan.sql(dialect, &Scope::default()).expect("a plan");
    let own = sql(SqlDialect::DataFusion);
    assert!(own.contains("rows_of_sales_metrics(\"partition\", \"id\"") && own.contains("distinct_estimate"), "{own}");
    let duckdb = sql(SqlDialect::DuckDb);
    assert!(duckdb.contains("FROM silver.order_lines") && duckdb.contains("make_timestamptz("), "{duckdb}");
    let holds = "(\"type\" = 'order.placed' AND CAST(\"refund\" AS DOUBLE) >= CAST('0' AS DOUBLE))";
    assert!(duckdb.contains(holds), "{duckdb}");
    let spark = sql(SqlDialect::Spark);
    assert!(spark.contains("timestamp_micros(") && spark.contains("`category`"), "{spark}");
    for strange in ["\"", "::", "make_timestamptz", "unnest", "rows_of_"] {
        assert!(!spark.contains(strange), "{strange} in {spark}");
    }
}

#[test]
fn what_an_engine_has_no_words_for_is_refused() {
    let of = |each: &str, condition: &str| {
        let text = format!(
            "name: m\ntypes: [t]\n{each}where: {condition:?}\nwindow: {{tumbling: 1m}}\nmeasures: {{n: {{count: rows}}}}\n"
        );
        plan(&text).sql(SqlDialect::DuckDb, &Scope::default())
    };
    assert!(of("", "data.x > 1 || region != 'Europe'").is_ok());
    for condition in
        ["size(data.list) > 1", "data.x.startsWith('a')", "order.net > 1.0", "data.x == 'a' && has(data.y)"]
    {
        assert_eq!(of("", condition), Err(PlanError::Condition(condition.into())), "{condition}");
    }
    assert!(matches!(of("each: lines\n", "data.x > 1"), Err(PlanError::Condition(_))));
}

#[test]
fn a_text_is_a_text_whatever_is_in_it() {
    let text = "name: m\ntypes: [\"it's\"]\nwhere: \"source == 'a\\\\\\\\b\\\\'c'\"\nwindow: {tumbling: 1m}\nmeasures: {n: {count: rows}}\n";
    let plan = plan(text);
    let sql = |dialect| plan.sql(dialect, &Scope::default()).expect("a plan");
    assert!(sql(SqlDialect::DuckDb).contains("'it''s'"), "{}", sql(SqlDialect::DuckDb));
    assert!(sql(SqlDialect::DuckDb).contains("= 'a\\b''c'"), "{}", sql(SqlDialect::DuckDb));
    assert!(sql(SqlDialect::Spark).contains("'it\\'s'"), "{}", sql(SqlDialect::Spark));
    assert!(sql(SqlDialect::Spark).contains("= 'a\\\\b\\'c'"), "{}", sql(SqlDialect::Spark));
}

#[test]
fn a_scope_reads_what_its_windows_hold() {
    let plan = plan("name: m\ntypes: [t]\nwindow: {sliding: {size: 5m, step: 1m}}\nmeasures: {n: {count: rows}}\n");
    let time = |millis| Some(Timestamp::saturating_from_millis(millis));
    let sql = plan.own_sql(&Scope { from: time(60_000), to: time(120_000), ..Scope::default() });
    for part in ["(60000000, ", "(420000000, ", "\"window_start\" < arrow_cast(120000000, "] {
        assert!(sql.contains(part), "{part} in {sql}");
    }
}
