//! The tables, and how fresh they are.

use axum::{Json, extract::State};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{ColumnDefinition, TableDefinition};
use utoipa::ToSchema;

use super::state::LakeApi;
use crate::committer::{Committer, TableStanding};

/// The tables of the lake.
#[derive(Serialize, ToSchema)]
pub(super) struct TableList {
    tables: Vec<TableEntry>,
}

/// A table.
#[derive(Serialize, ToSchema)]
struct TableEntry {
    /// Its name, for instance `silver.events`.
    name: String,
    /// Where it is below the root.
    path: String,
    /// What a row is.
    about: &'static str,
    /// The newest version that this replica has made; none since it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// When ingestion took the newest batch in that is in that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    reached: Option<Timestamp>,
    /// The columns whose values are folders.
    partitioned_by: &'static [&'static str],
    columns: Vec<ColumnEntry>,
}

/// A column.
#[derive(Serialize, ToSchema)]
struct ColumnEntry {
    name: &'static str,
    /// As Delta calls it.
    #[serde(rename = "type")]
    kind: String,
    nullable: bool,
    about: &'static str,
}

impl TableEntry {
    fn of(committer: &Committer) -> Self {
        let TableDefinition { about, columns, partitioned_by, .. } = *committer.table;
        let TableStanding { version, reached } = committer.standing();
        let (name, path) = (committer.table.to_string(), committer.table.path());
        let columns = columns.iter().map(ColumnEntry::of).collect();
        Self { name, path, about, version, reached, partitioned_by, columns }
    }
}

impl ColumnEntry {
    fn of(column: &ColumnDefinition) -> Self {
        let ColumnDefinition { name, kind, nullable, about } = *column;
        Self { name, kind: kind.to_string(), nullable, about }
    }
}

/// The tables with their columns, and how fresh they are.
#[utoipa::path(get, path = "/v1/tables", responses((status = 200, description = "The tables", body = TableList)))]
pub(super) async fn tables(State(api): State<LakeApi>) -> Json<TableList> {
    Json(TableList { tables: api.committers.all().into_iter().map(TableEntry::of).collect() })
}
