//! Writes what a query gives.

use std::sync::Arc;

use deltalake::{
    DeltaTable,
    datafusion::prelude::SessionContext,
    kernel::{Transaction, transaction::CommitProperties},
    operations::write::{SchemaMode, WriteBuilder},
    protocol::SaveMode,
};

use crate::{SqlEngine, SqlError};

/// What is written in one commit.
pub(super) struct GoldPart {
    pub(super) sql: String,
    /// The rows that it replaces; without it, all.
    pub(super) replaces: Option<String>,
    pub(super) transactions: Vec<Transaction>,
    /// The column whose values are folders, if the table has one.
    pub(super) partitioned_by: Option<&'static str>,
}

/// How far a commit is, in words.
pub(super) fn reaches(transactions: &[Transaction]) -> String {
    let one = |transaction: &Transaction| format!("{}={}", transaction.app_id, transaction.version);
    transactions.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Replaces rows of a table by those of a query; answers the table with them.
pub(super) async fn write(
    engine: &SqlEngine,
    context: &SessionContext,
    path: &str,
    table: Option<DeltaTable>,
    part: GoldPart,
) -> Result<DeltaTable, SqlError> {
    let plan = context.sql(&part.sql).await?.into_unoptimized_plan();
    let snapshot = match &table {
        Some(table) => Some(table.snapshot()?.snapshot().clone()),
        None => None,
    };
    let properties = CommitProperties::default()
        .with_application_transactions(part.transactions)
        // So that lineage can tell which code has made a number.
        .with_metadata([("tidemill".to_owned(), env!("CARGO_PKG_VERSION").into())]);
    let mut builder = WriteBuilder::new(engine.lake().log_store(path)?, snapshot)
        .with_input_plan(plan)
        .with_session_state(Arc::new(context.state()))
        .with_save_mode(SaveMode::Overwrite)
        .with_commit_properties(properties);
    builder = match part.replaces {
        Some(condition) => builder.with_replace_where(condition),
        None => builder.with_schema_mode(SchemaMode::Overwrite),
    };
    if table.is_none() {
        builder = builder.with_partition_columns(part.partitioned_by);
    }
    Ok(builder.await?)
}
