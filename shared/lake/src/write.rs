//! Rows into files that no version has yet.

use std::ops::Range;

use deltalake::{
    DeltaTable,
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        compute::partition,
        datatypes::{DataType, Int32Type},
    },
    kernel::Action,
    parquet::{
        basic::{Compression, Encoding, ZstdLevel},
        file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
        schema::types::ColumnPath,
    },
    writer::{DeltaWriter, RecordBatchWriter, WriteMode},
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

/// Runs of rows of one folder that are written one by one: beyond, they are sorted by folders first.
const MOST_RUNS: usize = 16;

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
    let folders = table.snapshot()?.metadata().partition_columns().to_vec();
    for batch in batches {
        write(&mut writer, &folders, conformed(batch, &schema)?).await?;
    }
    Ok(writer.flush().await?.into_iter().map(Action::Add).collect())
}

/// Writes rows into the files of their folders. Where those of a folder stand together they are not copied, as the
/// library does to sort them.
async fn write(writer: &mut RecordBatchWriter, folders: &[String], rows: RecordBatch) -> Result<(), LakeError> {
    let Some(runs) = runs(folders, &rows)? else { return Ok(writer.write(rows).await?) };
    for run in runs {
        let part = rows.slice(run.start, run.len());
        let folder = folders.iter().filter_map(|column| {
            let value = part.column_by_name(column)?.as_primitive_opt::<Int32Type>()?.value(0);
            Some((column.clone(), value.into()))
        });
        let folder = folder.collect();
        writer.write_partition(part, &folder, WriteMode::Default).await?;
    }
    Ok(())
}

/// Where rows of one folder stand together, if they are few such runs.
fn runs(folders: &[String], rows: &RecordBatch) -> Result<Option<Vec<Range<usize>>>, LakeError> {
    let columns: Option<Vec<ArrayRef>> = folders.iter().map(|column| rows.column_by_name(column).cloned()).collect();
    let is_known = |column: &ArrayRef| column.data_type() == &DataType::Int32 && column.null_count() == 0;
    let Some(columns) = columns.filter(|columns| !columns.is_empty() && columns.iter().all(is_known)) else {
        return Ok(None);
    };
    let runs = partition(&columns)?.ranges();
    Ok((runs.len() <= MOST_RUNS).then_some(runs))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;
    use tidemill_domain::Timestamp;

    use super::*;
    use crate::{Date, Lake, S3Config, StorageConfig, TableRows, append::tests::properties, tables::BronzeEvent};

    /// Rows that ingestion took in on these days.
    fn rows(days: &[i32]) -> RecordBatch {
        let mut rows = TableRows::new().expect("rows");
        for (raw_seq, day) in (1..).zip(days) {
            let Date { year, month, .. } = Timestamp::EPOCH.into();
            rows.push(&BronzeEvent {
                partition: 0,
                raw_seq,
                index: 0,
                ingested_at: Timestamp::EPOCH,
                source: "shop",
                r#type: "order.placed",
                id: "o-1",
                time: Timestamp::EPOCH,
                backfill: None,
                event: "{}",
                year,
                month,
                day: *day,
            });
        }
        rows.take().expect("a batch")
    }

    /// The sequences that new files have, by folder.
    fn written(root: &Path, actions: &[Action]) -> BTreeMap<String, Vec<i64>> {
        let mut folders = BTreeMap::new();
        for action in actions {
            let Action::Add(add) = action else { panic!("{action:?}") };
            let file = std::fs::File::open(root.join(&add.path)).expect("a file");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
            let mut sequences = Vec::new();
            for batch in reader.map(|batch| batch.expect("rows")) {
                let column = batch.column_by_name("raw_seq").expect("a column");
                sequences.extend(column.as_primitive::<deltalake::arrow::datatypes::Int64Type>().values());
            }
            let (folder, _) = add.path.rsplit_once('/').expect("a folder");
            assert_eq!(folders.insert(folder.to_owned(), sequences), None, "a folder has one file");
        }
        folders
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// However rows of several days are mixed, they are where the library puts them.
        #[test]
        fn rows_go_into_the_files_of_their_folders(
            batches in prop::collection::vec(prop::collection::vec(1..4_i32, 1..60), 1..4),
            is_sorted in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let folder = tempfile::tempdir().expect("a folder");
            let storage = StorageConfig { url: folder.path().display().to_string(), s3: S3Config::default() };
            let batches = batches.into_iter().map(|mut days| {
                if is_sorted {
                    days.sort_unstable();
                }
                rows(&days)
            });
            let batches: Vec<_> = batches.collect();
            let (ours, theirs) = runtime.block_on(async {
                let lake = Lake::open(&storage).expect("a lake");
                let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
                let ours = stage(table.delta(), &batches).await.expect("files");
                let mut writer = RecordBatchWriter::for_table(table.delta()).expect("a writer");
                for batch in &batches {
                    let schema = writer.arrow_schema();
                    writer.write(conformed(batch, &schema).expect("rows")).await.expect("is written");
                }
                let theirs = writer.flush().await.expect("files");
                (ours, theirs.into_iter().map(Action::Add).collect::<Vec<_>>())
            });
            let root = folder.path().join("bronze/events");
            prop_assert_eq!(written(&root, &ours), written(&root, &theirs));
        }
    }
}
