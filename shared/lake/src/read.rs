//! Files of a table, read by themselves.

use deltalake::{
    DeltaTable, Path,
    arrow::{array::RecordBatch, compute::cast, datatypes::SchemaRef},
    parquet::arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
};
use object_store::ObjectStoreExt;

use crate::error::{LakeError, LakeErrorKind};

/// The rows of a file, some at a time.
pub(crate) async fn reader(table: &DeltaTable, path: &Path) -> Result<ParquetRecordBatchReader, LakeError> {
    Ok(opened(table, path).await?.build().map_err(deltalake::DeltaTableError::from)?)
}

/// The same, one column of them.
pub(crate) async fn column_reader(
    table: &DeltaTable,
    path: &Path,
    column: &str,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let file = opened(table, path).await?;
    let only = ProjectionMask::columns(file.parquet_schema(), [column]);
    Ok(file.with_projection(only).build().map_err(deltalake::DeltaTableError::from)?)
}

async fn opened(table: &DeltaTable, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<bytes::Bytes>, LakeError> {
    let bytes = table.object_store().get(path).await?.bytes().await?;
    Ok(ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(deltalake::DeltaTableError::from)?)
}

/// Rows with the columns of a schema, in its order: what an engine has written has texts of another form in
/// memory.
pub(crate) fn with_columns(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let missing = |name: &str| LakeError::new(LakeErrorKind::Internal, format!("there is no column {name}"));
    let column = |field: &std::sync::Arc<deltalake::arrow::datatypes::Field>| {
        let column = rows.column_by_name(field.name()).ok_or_else(|| missing(field.name()))?;
        Ok::<_, LakeError>(cast(column, field.data_type())?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
