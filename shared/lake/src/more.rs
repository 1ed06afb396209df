//! Columns that somebody who runs the lake wants beside those that are declared.
//!
//! They are added when the table is opened, and stay when nobody wants them any more: the
//! table says of each that it is one of these, so that no release takes it for a fault.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use deltalake::{
    arrow::{
        array::{RecordBatch, new_null_array},
        datatypes::{Field, SchemaRef},
    },
    kernel::{MetadataValue, StructField},
};

use crate::{
    definition::ColumnKind,
    error::{LakeError, LakeErrorKind},
};

/// What the table says of such a column.
const MARK: &str = "tidemill.more";
/// By what name Delta knows what a column says.
const COMMENT: &str = "comment";

/// A column beside those that are declared. It may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoreColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// What it says.
    pub about: String,
}

/// Those of a table, in their order.
#[derive(Debug, Clone, Default)]
pub struct MoreColumns {
    path: String,
    columns: Arc<[MoreColumn]>,
}

impl MoreColumns {
    /// Of the table at this path (`silver/events`).
    pub fn of(path: String, columns: Vec<MoreColumn>) -> Self {
        Self { path, columns: columns.into() }
    }

    /// All of them.
    pub fn columns(&self) -> &[MoreColumn] {
        &self.columns
    }

    /// Those of a table.
    pub(crate) fn of_table(&self, path: &str) -> &[MoreColumn] {
        if self.path == path { &self.columns } else { &[] }
    }
}

/// A column of a table as one of these, with what it says.
pub(crate) fn marked(field: StructField, about: &str) -> StructField {
    field.with_metadata([(MARK, MetadataValue::Boolean(true)), (COMMENT, MetadataValue::String(about.to_owned()))])
}

/// Whether a column of a table is one of these.
pub(crate) fn is_more(field: &StructField) -> bool {
    field.metadata.get(MARK) == Some(&MetadataValue::Boolean(true)) && field.is_nullable()
}

/// Rows with all columns of a table: who wrote them may not have known one that another has added.
///
/// # Errors
/// They have one that the table has not: it would be lost.
pub(crate) fn conformed(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    if rows.schema() == *schema {
        return Ok(rows.clone());
    }
    if let Some(lost) = rows.schema().fields().iter().find(|field| schema.field_with_name(field.name()).is_err()) {
        let reason = format!("it has no column {}: another lake may have made it anew", lost.name());
        return Err(LakeError::new(LakeErrorKind::Schema, reason));
    }
    let column = |field: &Arc<Field>| match rows.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), rows.num_rows()),
    };
    Ok(RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect())?)
}
