//! Events of a table, by their places in the log.

use deltalake::datafusion::{
    common::JoinType,
    logical_expr::Expr,
    prelude::{DataFrame, ident},
};

use crate::error::LakeError;

/// The columns that name an event by its place in the log. All rows of an event come into a table in one version.
const EVENT: [&str; 3] = ["partition", "raw_seq", "index"];

/// Rows whose event is in none of the others.
pub(super) fn without_events_of(rows: DataFrame, others: DataFrame, folder: &[String]) -> Result<DataFrame, LakeError> {
    let keys: Vec<&str> = EVENT.into_iter().chain(folder.iter().map(String::as_str)).collect();
    let names: Vec<String> = keys.iter().map(|key| format!("other_{key}")).collect();
    let renamed: Vec<Expr> = keys.iter().zip(&names).map(|(key, name)| ident(*key).alias(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(rows.join(others.select(renamed)?, JoinType::LeftAnti, &keys, &names, None)?)
}
