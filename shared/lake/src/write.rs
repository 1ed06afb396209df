//! Rows into files that no version has yet.

use deltalake::{
    DeltaTable,
    arrow::array::RecordBatch,
    kernel::Action,
    parquet::{
        basic::{Compression, ZstdLevel},
        file::properties::{WriterProperties, WriterPropertiesBuilder},
        schema::types::ColumnPath,
    },
    writer::{DeltaWriter, RecordBatchWriter},
};

use crate::error::LakeError;

/// Columns of which no two values are alike: a dictionary of them only costs.
const DISTINCT: [&str; 5] = ["event", "data", "enriched", "id", "event_id"];

/// How files are written: for compaction with other levels.
pub(crate) fn properties(level: i32) -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(level).unwrap_or_default();
    let builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    DISTINCT
        .iter()
        .fold(builder, |builder, column| builder.set_column_dictionary_enabled(ColumnPath::from(*column), false))
}

/// Writes rows as files; the actions add them to a version.
pub(crate) async fn stage(table: &DeltaTable, batches: &[RecordBatch]) -> Result<Vec<Action>, LakeError> {
    let mut writer = RecordBatchWriter::for_table(table)?.with_writer_properties(properties(1).build());
    for batch in batches {
        writer.write(batch.clone()).await?;
    }
    Ok(writer.flush().await?.into_iter().map(Action::Add).collect())
}
