//! Which questions are answered.

use std::collections::BTreeSet;

use deltalake::datafusion::{
    common::TableReference,
    execution::{SessionState, context::SQLOptions},
    logical_expr::LogicalPlan,
    sql::{parser::Statement, sqlparser::ast::Statement as SqlStatement},
};

use super::bounds;
use crate::SqlError;

/// The tables that a question names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NamedTables {
    /// These, as `layer/name`.
    Some(BTreeSet<String>),
    /// It asks which there are.
    All,
}

/// Reads a question; what is none is refused.
pub(super) fn read_only(state: &SessionState, sql: &str) -> Result<Statement, SqlError> {
    bounds::check_text(sql)?;
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect)?;
    if is_question(&statement) { Ok(statement) } else { Err(SqlError::NotReadOnly) }
}

fn is_question(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            &**statement,
            SqlStatement::Query(_)
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ExplainTable { .. }
        ),
        Statement::Explain(explain) => is_question(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

/// No part of a plan changes anything.
pub(super) fn verify(plan: &LogicalPlan) -> Result<(), SqlError> {
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(plan).map_err(|_| SqlError::NotReadOnly)
}

/// The tables that a question needs.
pub(super) fn tables(state: &SessionState, statement: &Statement) -> Result<NamedTables, SqlError> {
    let is_list = matches!(
        statement,
        Statement::Statement(statement)
            if matches!(&**statement, SqlStatement::ShowTables { .. } | SqlStatement::ShowColumns { .. })
    );
    let references = state.resolve_table_references(statement)?;
    if is_list || references.iter().any(|reference| reference.schema() == Some("information_schema")) {
        return Ok(NamedTables::All);
    }
    // Of DataFusion's own, which make rows of nothing.
    let is_function = |reference: &&TableReference| {
        reference.schema().is_none() && state.table_functions().contains_key(reference.table())
    };
    Ok(NamedTables::Some(references.iter().filter(|reference| !is_function(reference)).map(path).collect()))
}

/// Where a table is; without a layer it is one of gold.
fn path(reference: &TableReference) -> String {
    format!("{}/{}", reference.schema().unwrap_or("gold"), reference.table())
}
