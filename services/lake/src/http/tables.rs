//! The tables, and how fresh they are.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use tidemill_batch_views::{ColumnState, TableListing, TableState, UnreadableTable};
use tidemill_domain::Timestamp;
use tidemill_service::Problem;
use utoipa::ToSchema;

use super::{sql::SqlRequestError, state::LakeApi};
use crate::committer::TableStanding;

/// The tables of the lake.
#[derive(Serialize, ToSchema)]
pub(super) struct TableList {
    tables: Vec<TableEntry>,
    /// Tables that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<UnreadableEntry>,
}

/// A table that cannot be read.
#[derive(Serialize, ToSchema)]
struct UnreadableEntry {
    /// Its name, for instance `silver.events`.
    name: String,
    /// The code of what is wrong.
    code: &'static str,
    /// What is wrong.
    detail: String,
}

/// A table.
#[derive(Serialize, ToSchema)]
struct TableEntry {
    /// Its name, for instance `silver.events`.
    name: String,
    /// What a row is.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'static str>,
    /// Its newest version.
    version: u64,
    /// When that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
    /// When ingestion took the newest batch in that this replica has written; none of a
    /// table that it has not written to since it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    reached: Option<Timestamp>,
    /// The newest version that this replica has made.
    #[serde(skip_serializing_if = "Option::is_none")]
    written_version: Option<u64>,
    /// Files that it consists of.
    files: usize,
    /// Their bytes.
    bytes: i64,
    columns: Vec<ColumnEntry>,
}

/// A column.
#[derive(Serialize, ToSchema)]
struct ColumnEntry {
    name: String,
    /// As Delta calls it.
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'static str>,
}

impl UnreadableEntry {
    fn of(table: UnreadableTable) -> Self {
        let UnreadableTable { name, error } = table;
        Self { name, code: error.code().as_str(), detail: error.to_string() }
    }
}

impl TableEntry {
    fn of(table: TableState, TableStanding { version: written_version, reached }: TableStanding) -> Self {
        let TableState { name, about, version, changed_at, files, bytes, columns } = table;
        let columns = columns.into_iter().map(ColumnEntry::of).collect();
        Self { name, about, version, changed_at, reached, written_version, files, bytes, columns }
    }
}

impl ColumnEntry {
    fn of(column: ColumnState) -> Self {
        let ColumnState { name, kind, about } = column;
        Self { name, kind, about }
    }
}

/// The tables with their columns, and how fresh they are.
#[utoipa::path(get, path = "/v1/tables",
    responses(
        (status = 200, description = "The tables", body = TableList),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn tables(State(api): State<LakeApi>) -> Result<Json<TableList>, SqlRequestError> {
    let written = api.committers.all().into_iter().map(|written| (written.table.to_string(), written.standing()));
    let written: BTreeMap<String, TableStanding> = written.collect();
    let entry = |table: TableState| {
        let standing = written.get(&table.name).copied().unwrap_or_default();
        TableEntry::of(table, standing)
    };
    let TableListing { tables, unreadable } = api.engine.tables().await?;
    let tables = tables.into_iter().map(entry).collect();
    Ok(Json(TableList { tables, unreadable: unreadable.into_iter().map(UnreadableEntry::of).collect() }))
}
