//! Rows into files that no version has yet.

use deltalake::{
    DeltaTable,
    arrow::array::RecordBatch,
    kernel::Action,
    parquet::{
        basic::{Compression, Encoding, ZstdLevel},
        file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
        schema::types::ColumnPath,
    },
    writer::{DeltaWriter, RecordBatchWriter},
};

use crate::{error::LakeError, more::conformed};

/// Columns of which no two values are alike: a dictionary of them only costs.
const DISTINCT: [&str; 6] = ["event", "data", "enriched", "body", "id", "event_id"];
/// Whole documents, by which nobody looks for rows: their least and greatest say nothing.
const DOCUMENTS: [&str; 4] = ["event", "data", "enriched", "body"];
/// Numbers that differ little from one row to the next.
const RISING: [&str; 5] = ["raw_seq", "index", "time", "received", "ingested_at"];
/// Rows of a row group of a file that stays: so few that a question can leave most out.
const ROW_GROUP: usize = 128 * 1024;
/// How often a Bloom filter may say that a row could be there that is not.
const WRONG_HITS: f64 = 0.01;

/// What a file is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// To be there soon; compaction writes it once more.
    Fresh,
    /// To stay.
    Compacted,
    /// To be read rarely.
    Cold,
}

impl FileKind {
    const fn level(self) -> i32 {
        match self {
            Self::Fresh => 1,
            Self::Compacted => 3,
            Self::Cold => 9,
        }
    }
}

/// How files are written. Columns by which single rows are looked up get a Bloom filter
/// in files that stay, for as many values as a row group has rows.
pub(crate) fn properties(kind: FileKind, looked_up_by: &[impl AsRef<str>]) -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(kind.level()).unwrap_or_default();
    let mut builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    for column in DISTINCT.map(ColumnPath::from) {
        builder = builder.set_column_dictionary_enabled(column, false);
    }
    for column in DOCUMENTS.map(ColumnPath::from) {
        builder = builder.set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    for column in RISING.map(ColumnPath::from) {
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    if kind == FileKind::Fresh {
        return builder.set_statistics_enabled(EnabledStatistics::Chunk);
    }
    builder = builder.set_max_row_group_row_count(Some(ROW_GROUP));
    for column in looked_up_by.iter().map(|column| ColumnPath::from(column.as_ref())) {
        builder = builder
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), WRONG_HITS)
            .set_column_bloom_filter_max_ndv(column, ROW_GROUP as u64);
    }
    builder
}

/// How the files of a commit are written.
pub(crate) fn fresh() -> WriterProperties {
    properties(FileKind::Fresh, &[] as &[&str]).build()
}

/// Writes rows as files; the actions add them to a version.
pub(crate) async fn stage(table: &DeltaTable, batches: &[RecordBatch]) -> Result<Vec<Action>, LakeError> {
    let mut writer = RecordBatchWriter::for_table(table)?.with_writer_properties(fresh());
    let schema = writer.arrow_schema();
    for batch in batches {
        writer.write(conformed(batch, &schema)?).await?;
    }
    Ok(writer.flush().await?.into_iter().map(Action::Add).collect())
}
