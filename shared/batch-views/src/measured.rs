//! For benches: plans, without the limits of questions.

use deltalake::arrow::array::RecordBatch;

use crate::SqlEngine;

/// What a query of a plan gives, over tables by their paths.
///
/// # Panics
/// When it gives nothing.
#[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
pub async fn computed(engine: &SqlEngine, tables: &[&str], sql: &str) -> Vec<RecordBatch> {
    let context = engine.context();
    engine.sources(&context, tables).await.expect("tables");
    context.sql(sql).await.expect("a plan").collect().await.expect("rows")
}
