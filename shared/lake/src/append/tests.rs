use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_domain::{Code, Partition, Timestamp};

use super::*;
use crate::{
    Date, Lake, S3Config, StorageConfig, TableRows,
    table::TableProperties,
    tables::{BronzeEvent, SilverEvent},
};

pub(crate) fn properties(owner: &str) -> TableProperties {
    TableProperties { owner: owner.into(), checkpoint_interval: 10, log_retention_hours: 24, deleted_files_hours: 24 }
}

/// A part with a row for each sequence.
pub(crate) fn part(partition: u16, sequences: impl IntoIterator<Item = i64>, reaches: i64) -> TablePart {
    part_of(partition, sequences, reaches, "{}")
}

/// The same, of rows with this event.
pub(crate) fn part_of(
    partition: u16,
    sequences: impl IntoIterator<Item = i64>,
    reaches: i64,
    event: &str,
) -> TablePart {
    let mut rows = TableRows::new().expect("rows");
    for raw_seq in sequences {
        let Date { year, month, day } = Timestamp::EPOCH.into();
        let id = format!("{partition}-{raw_seq}");
        rows.push(&BronzeEvent {
            partition: partition.into(),
            raw_seq,
            index: 0,
            ingested_at: Timestamp::EPOCH,
            source: "shop",
            r#type: "order.placed",
            id: &id,
            time: Timestamp::EPOCH,
            backfill: None,
            event,
            year,
            month,
            day,
        });
    }
    let app = AppId::of(&BronzeEvent::TABLE, Partition::new(partition));
    TablePart { app, reaches, rows: rows.take().expect("a batch") }
}

fn lake(folder: &tempfile::TempDir) -> Lake {
    let url = folder.path().to_str().expect("a path").to_owned();
    Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder")
}

async fn appender(lake: &Lake) -> Appender {
    Appender::new(lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table"), "raw_seq")
}

/// The files of a table's newest version.
async fn files(lake: &Lake) -> Vec<std::path::PathBuf> {
    let table = lake.existing("bronze/events").await.expect("answers").expect("a table");
    let uris: Vec<String> = table.get_file_uris().expect("files").collect();
    uris.iter().map(|uri| uri.trim_start_matches("file://").into()).collect()
}

async fn rows(lake: &Lake) -> usize {
    let count = |path| {
        let file = std::fs::File::open(path).expect("a file");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
        reader.map(|batch| batch.expect("rows").num_rows()).sum::<usize>()
    };
    files(lake).await.into_iter().map(count).sum()
}

/// As a contract that stops a partition in the middle of a batch leaves them.
#[tokio::test]
async fn rows_of_a_batch_that_is_not_whole_come_with_the_rest_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    let mut appender = appender(&lake).await;
    assert_eq!(appender.append(&[part(0, [3, 4, 4], 3)]).await.expect("commits").rows, 1);
    assert_eq!(appender.append(&[part(0, [4, 4, 4], 4)]).await.expect("commits").rows, 3);
    assert_eq!(rows(&lake).await, 4);
}

#[tokio::test]
async fn what_is_in_the_table_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    let mut first = appender(&lake).await;
    let appended = first.append(&[part(0, [1, 2, 3], 4), part(1, [5], 5)]).await.expect("appends");
    assert_eq!(appended, Appended { version: 1, rows: 4, conflicts: 0 });
    let again = first.append(&[part(0, [1, 2, 3], 4)]).await.expect("appends");
    assert_eq!((again.version, again.rows), (1, 0), "nothing is written that is there");
    // Another one, which knows nothing of the first, and has read further.
    let mut second = appender(&lake).await;
    let appended = second.append(&[part(0, 1..=6, 6), part(1, [5], 5)]).await.expect("appends");
    assert_eq!((appended.version, appended.rows), (2, 2), "5 and 6 alone are new");
    // The first has not heard of that.
    let appended = first.append(&[part(0, 4..=7, 7)]).await.expect("appends");
    assert_eq!((appended.version, appended.rows), (3, 1));
    assert_eq!(rows(&lake).await, 7);
    assert_eq!(first.reached(&part(0, [], 0).app).await.expect("answers"), 7);
}

/// Batches without rows of the table move the place all the same, without a file.
#[tokio::test]
async fn a_place_may_move_without_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    let mut appender = appender(&lake).await;
    let appended = appender.append(&[part(0, [], 9)]).await.expect("appends");
    assert_eq!((appended.version, appended.rows), (1, 0));
    assert_eq!(appender.reached(&part(0, [], 0).app).await.expect("answers"), 9);
    assert!(files(&lake).await.is_empty());
}

#[tokio::test]
async fn two_that_make_a_table_at_once_make_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    let (mut one, mut two) = tokio::join!(appender(&lake), appender(&lake));
    assert_eq!((one.table().version(), two.table().version()), (0, 0));
    let (one_part, two_part) = ([part(0, [1], 1)], [part(1, [2], 2)]);
    let (one, two) = tokio::join!(one.append(&one_part), two.append(&two_part));
    assert_eq!((one.expect("appends").rows, two.expect("appends").rows), (1, 1));
    assert_eq!(rows(&lake).await, 2);
}

#[tokio::test]
async fn a_table_of_another_lake_or_shape_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    drop(appender(&lake).await);
    let error = lake.table(&BronzeEvent::TABLE, &properties("b")).await.expect_err("another lake");
    assert_eq!(error.code(), Code::LakeSchema);
    assert_eq!(error.to_string(), "lake_schema: bronze.events: it belongs to the lake a, and this one is b");
    // Silver's columns at the place of bronze.
    static MOVED: crate::TableDefinition = crate::TableDefinition { layer: crate::Layer::Bronze, ..SilverEvent::TABLE };
    let error = lake.table(&MOVED, &properties("a")).await.expect_err("another table");
    assert_eq!(error.code(), Code::LakeSchema, "{error}");
}

#[tokio::test]
async fn a_newer_protocol_and_a_lost_file_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    let mut first = appender(&lake).await;
    first.append(&[part(0, [1], 1)]).await.expect("appends");
    let log = folder.path().join("bronze/events/_delta_log");
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["future"],"writerFeatures":["future"]}}"#;
    std::fs::write(log.join("00000000000000000002.json"), protocol).expect("writes");
    let error = first.append(&[part(0, [2], 2)]).await.expect_err("a newer protocol");
    assert_eq!(error.code(), Code::LakeProtocol, "{error}");
    std::fs::remove_file(log.join("00000000000000000002.json")).expect("removes");
    std::fs::remove_file(log.join("00000000000000000000.json")).expect("removes");
    let error = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect_err("the first version is lost");
    assert_eq!(error.code(), Code::LakeDamaged, "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("writes");
    let url = folder.path().join("file/lake").to_str().expect("a path").to_owned();
    let error = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect_err("no folder");
    assert_eq!(error.code(), Code::LakeDenied);
}

/// A table that an older release has made goes on with null in the columns that it lacked, and its
/// old files can be put together with new ones.
#[tokio::test]
async fn a_table_of_an_older_release_gets_the_columns_that_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder);
    static PARTLY: crate::TableDefinition = crate::TableDefinition {
        partitioned_by: &[],
        columns: BronzeEvent::TABLE.columns.split_at(8).0,
        ..BronzeEvent::TABLE
    };
    static WHOLE: crate::TableDefinition = crate::TableDefinition {
        partitioned_by: &[],
        columns: BronzeEvent::TABLE.columns.split_at(9).0,
        ..BronzeEvent::TABLE
    };
    let rows = |columns: &[usize], sequence| {
        let part = part(0, [sequence], sequence);
        TablePart { rows: part.rows.project(columns).expect("columns"), ..part }
    };
    let properties = properties("a");
    let old = lake.table(&PARTLY, &properties).await.expect("a table");
    let before = rows(&[0, 1, 2, 3, 4, 5, 6, 7], 1);
    Appender::new(old, "raw_seq").append(&[before]).await.expect("appends");
    let (one, two) = tokio::join!(lake.table(&WHOLE, &properties), lake.table(&WHOLE, &properties));
    let (table, other) = (one.expect("it gets a column"), two.expect("once"));
    let mut appender = Appender::new(table, "raw_seq");
    appender.append(&[rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 2)]).await.expect("appends");
    let protocol = appender.table().delta().snapshot().expect("a snapshot").protocol().clone();
    assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2));
    let goal = crate::CompactionGoal { file_bytes: std::num::NonZeroU64::new(1 << 20).expect("not 0"), least_files: 2 };
    let compacted = other.kept().compact(goal).await.expect("is put together");
    assert_eq!((compacted.removed, compacted.added, compacted.rows), (2, 1, 2));
    let told = crate::testing::rows(&lake, "bronze/events", &["raw_seq", "backfill"]).await.expect("rows");
    assert_eq!(told, [["1", ""], ["2", ""]]);
    // An older release does not write to it any more.
    let error = lake.table(&PARTLY, &properties).await.expect_err("a newer table");
    assert_eq!(error.to_string(), "lake_schema: bronze.events: its column backfill is not known to this release");
}
