//! The schema of a table, as Delta and Arrow have it.

use std::sync::Arc;

use deltalake::{
    arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit},
    kernel::{DataType, StructField},
};

use crate::{
    definition::{ColumnKind, TableDefinition},
    error::LakeError,
    more::{MoreColumn, marked},
};

/// The zone of every moment.
pub(crate) const UTC: &str = "UTC";

/// As Arrow has it.
pub(crate) fn arrow_schema(table: &TableDefinition) -> SchemaRef {
    arrow_schema_with(table, &[])
}

/// The same, with further columns.
pub(crate) fn arrow_schema_with(table: &TableDefinition, more: &[MoreColumn]) -> SchemaRef {
    let field = |column: &crate::ColumnDefinition| Field::new(column.name, arrow_type(column.kind), column.nullable);
    let further = |column: &MoreColumn| Field::new(&column.name, arrow_type(column.kind), true);
    Arc::new(Schema::new(table.columns.iter().map(field).chain(more.iter().map(further)).collect::<Vec<_>>()))
}

fn arrow_type(kind: ColumnKind) -> ArrowType {
    match kind {
        ColumnKind::Int => ArrowType::Int32,
        ColumnKind::Long => ArrowType::Int64,
        ColumnKind::Double => ArrowType::Float64,
        ColumnKind::Boolean => ArrowType::Boolean,
        ColumnKind::Text => ArrowType::Utf8,
        ColumnKind::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        ColumnKind::Decimal(precision, scale) => {
            ArrowType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
    }
}

/// As Delta has it.
pub(crate) fn delta_fields(table: &TableDefinition) -> Result<Vec<StructField>, LakeError> {
    let field =
        |column: &crate::ColumnDefinition| Ok(StructField::new(column.name, delta_type(column.kind)?, column.nullable));
    table.columns.iter().map(field).collect()
}

pub(crate) fn more_fields(more: &[MoreColumn]) -> Result<Vec<StructField>, LakeError> {
    let field = |column: &MoreColumn| {
        let field = StructField::new(&column.name, delta_type(column.kind)?, true);
        Ok(marked(field, &column.about))
    };
    more.iter().map(field).collect()
}

pub(crate) fn delta_type(kind: ColumnKind) -> Result<DataType, LakeError> {
    Ok(match kind {
        ColumnKind::Int => DataType::INTEGER,
        ColumnKind::Long => DataType::LONG,
        ColumnKind::Double => DataType::DOUBLE,
        ColumnKind::Boolean => DataType::BOOLEAN,
        ColumnKind::Text => DataType::STRING,
        ColumnKind::Timestamp => DataType::TIMESTAMP,
        ColumnKind::Decimal(precision, scale) => {
            DataType::decimal(precision, scale).map_err(deltalake::DeltaTableError::from)?
        }
    })
}
