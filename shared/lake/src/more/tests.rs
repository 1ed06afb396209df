use tidemill_domain::Partition;

use super::*;
use crate::{
    AppId, Appender, CompactionGoal, Lake, MoreValue, Retention, Row, S3Config, StorageConfig, TablePart, TableRows,
    append::tests::{part, properties},
    tables::BronzeEvent,
    testing,
};

const PATH: &str = "bronze/events";

fn column(kind: ColumnKind) -> MoreColumn {
    MoreColumn { name: "coupon".into(), kind, about: "The code.".into() }
}

fn lake(folder: &tempfile::TempDir, columns: Vec<MoreColumn>) -> Lake {
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    lake.with_columns(MoreColumns::of(PATH.into(), columns))
}

async fn appender(lake: &Lake) -> Appender {
    Appender::new(lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table"), "raw_seq")
}

/// A row with a value in the further column.
fn with_value(raw_seq: i64, value: &str) -> TablePart {
    let mut rows = TableRows::with(&[column(ColumnKind::Text)]).expect("columns");
    let (time, app) = (tidemill_domain::Timestamp::EPOCH, AppId::of(BronzeEvent::table(), Partition::new(0)));
    let row = BronzeEvent {
        partition: 0,
        raw_seq,
        index: 0,
        ingested_at: time,
        source: "shop",
        r#type: "order.placed",
        id: "o-1",
        time,
        backfill: None,
        event: "{}",
        year: 1970,
        month: 1,
        day: 1,
    };
    rows.push_with(&row, [Some(MoreValue::Text(value.into()))]);
    TablePart { app, reaches: raw_seq, rows: rows.take().expect("a batch") }
}

async fn coupons(lake: &Lake) -> Vec<(String, String)> {
    let rows = testing::rows(lake, PATH, &["raw_seq", "coupon"]).await.expect("rows");
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    rows.sort();
    rows
}

fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(raw_seq, coupon)| ((*raw_seq).to_owned(), (*coupon).to_owned())).collect()
}

#[tokio::test]
async fn rows_are_fitted_to_a_table_that_has_more_or_fewer_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, more) = (lake(&folder, Vec::new()), lake(&folder, vec![column(ColumnKind::Text)]));
    let mut old = appender(&plain).await;
    old.append(&[part(0, [1], 1)]).await.expect("appends");
    // Killed behind the new column, and begun again.
    drop(appender(&more).await);
    let mut new = appender(&more).await;
    assert_eq!(new.table().version(), 2, "the column is added once");
    new.append(&[with_value(2, "A")]).await.expect("appends");
    // Who was there before, and who never knew the column, go on.
    old.append(&[part(0, [3], 3)]).await.expect("appends");
    appender(&plain).await.append(&[part(0, [4], 4)]).await.expect("appends");
    assert_eq!(coupons(&plain).await, expected(&[("1", ""), ("2", "A"), ("3", ""), ("4", "")]));

    let goal = CompactionGoal { file_bytes: std::num::NonZeroU64::MAX, least_files: 2 };
    let mut kept = plain.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table").kept();
    assert_eq!(kept.compact(goal).await.expect("compacts").rows, 4);
    assert_eq!(coupons(&plain).await[1].1, "A", "files that are put together keep it");

    let elsewhere = tempfile::tempdir().expect("a folder");
    let over = Retention { before: 62, unchanged_since: tidemill_domain::Timestamp::saturating_from_millis(i64::MAX) };
    let place = lake(&elsewhere, Vec::new());
    let mut there = place.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table").kept();
    let refused = kept.move_old(&mut there, over, goal).await.expect_err("it would be lost").to_string();
    assert!(refused.contains("it has no column coupon"), "{refused}");
    let place = lake(&elsewhere, vec![column(ColumnKind::Text)]);
    let mut there = place.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table").kept();
    assert_eq!(kept.move_old(&mut there, over, goal).await.expect("is moved").rows, 4);
    assert_eq!(coupons(&place).await[1].1, "A");
}

#[tokio::test]
async fn another_type_is_refused_and_a_row_that_would_lose_a_value_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = lake(&folder, Vec::new());
    let mut old = appender(&plain).await;
    let error = old.append(&[with_value(1, "A")]).await.expect_err("there is no such column").to_string();
    assert!(error.contains("it has no column coupon"), "{error}");
    drop(appender(&lake(&folder, vec![column(ColumnKind::Text)])).await);
    let other = lake(&folder, vec![column(ColumnKind::Long)]);
    let error = other.table(&BronzeEvent::TABLE, &properties("a")).await.expect_err("another type");
    assert_eq!(error.kind(), LakeErrorKind::Schema);
    assert!(error.to_string().contains("its column coupon is string, and is to be long"), "{error}");
}
