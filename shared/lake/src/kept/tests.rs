use deltalake::arrow::array::RecordBatch;
use tidemill_domain::{Partition, Timestamp};

mod clustering;
mod retention;
mod tier;

use std::num::NonZeroU64;

use super::{files::files, proof::RowsProof, *};
use crate::{AppId, Appender, Date, S3Config, StorageConfig, TablePart, TableRows, tables::BronzeEvent, testing};

fn part(raw_seq: i64, months: &[i64]) -> TablePart {
    part_of(0, raw_seq, months)
}

fn part_of(partition: u16, raw_seq: i64, months: &[i64]) -> TablePart {
    let app = AppId::of(&BronzeEvent::TABLE, Partition::new(partition));
    TablePart { app, reaches: raw_seq, rows: rows_at(partition, raw_seq, 0, months) }
}

/// Rows of a line of a batch of the log.
fn rows_at(partition: u16, raw_seq: i64, index: i32, months: &[i64]) -> RecordBatch {
    let mut rows = TableRows::new().expect("rows");
    for month in months {
        let ingested_at = Timestamp::saturating_from_millis(month * 31 * 86_400_000);
        let Date { year, month, day } = ingested_at.into();
        rows.push(&BronzeEvent {
            partition: partition.into(),
            raw_seq,
            index,
            ingested_at,
            source: "shop",
            r#type: "order.placed",
            id: &raw_seq.to_string(),
            time: ingested_at,
            backfill: None,
            event: "{}",
            year,
            month,
            day,
        });
    }
    rows.take().expect("a batch")
}

fn properties() -> TableProperties {
    TableProperties { owner: "a".into(), checkpoint_interval: 10, log_retention_hours: 24, deleted_files_hours: 24 }
}

async fn rows(lake: &Lake) -> Vec<Vec<String>> {
    let mut rows = testing::rows(lake, "bronze/events", &["raw_seq", "ingested_at", "id"]).await.expect("rows");
    rows.sort();
    rows
}

#[tokio::test]
async fn small_files_become_one_in_each_folder_and_rows_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let open = async || lake.table(&BronzeEvent::TABLE, &properties()).await.expect("a table");
    let mut appender = Appender::new(open().await, "raw_seq");
    for raw_seq in 1..=6 {
        appender.append(&[part(raw_seq, &[1, 2])]).await.expect("appends");
    }
    let before = rows(&lake).await;
    let goal = CompactionGoal { file_bytes: NonZeroU64::new(1 << 20).expect("some"), least_files: 4 };
    let mut table = open().await.kept();
    let first = table.compact(goal).await.expect("compacts");
    assert_eq!(first, Compacted { removed: 6, added: 1, rows: 6 });
    // Meanwhile somebody appends, who knows nothing of it.
    assert_eq!(appender.append(&[part(7, &[2])]).await.expect("appends").rows, 1);
    let second = table.compact(goal).await.expect("compacts");
    assert_eq!(second, Compacted { removed: 7, added: 1, rows: 7 });
    assert_eq!(table.compact(goal).await.expect("compacts"), Compacted::default());
    table.refresh().await.expect("answers");
    assert_eq!(files(table.delta()).await.expect("files").len(), 2);
    let mut after = rows(&lake).await;
    after.retain(|row| row[0] != "7");
    assert_eq!(after, before);
    // How far the log is, is known as before.
    assert_eq!(appender.append(&[part(7, &[2])]).await.expect("appends").rows, 0);
    assert_eq!(table.vacuum().await.expect("vacuums"), 0, "versions can be gone back to");
}

#[test]
fn a_row_that_changes_is_noticed() {
    let proof = |parts: &[TablePart]| {
        let mut proof = RowsProof::new();
        parts.iter().for_each(|part| proof.add(&part.rows).expect("rows"));
        proof
    };
    let (one, two) = (part(1, &[1]), part(2, &[1, 2]));
    assert_eq!(proof(&[one.clone(), two.clone()]), proof(&[two.clone(), one.clone()]), "in whatever order");
    for wrong in [vec![one.clone()], vec![one.clone(), one.clone(), one.clone()], vec![one, two.clone(), two]] {
        assert_ne!(proof(&wrong), proof(&[part(1, &[1]), part(2, &[1, 2])]));
    }
}
