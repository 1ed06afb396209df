//! Whole folders go once they are over, and nothing else does.

use tidemill_domain::{Clock, SystemClock};

use super::*;
use crate::{
    kept::{Dropped, Retention, complete_since},
    tables::QualityRow,
};

const DAY: i64 = 86_400_000;

#[tokio::test]
async fn folders_that_are_over_go_unless_something_was_written_to_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let table = lake.table(&BronzeEvent::TABLE, &properties()).await.expect("a table");
    let mut appender = Appender::new(table, "raw_seq");
    // Of the days 31, 62 and 93 since 1970.
    appender.append(&[part(1, &[1, 2, 3])]).await.expect("appends");
    let mut kept = lake.table(&BronzeEvent::TABLE, &properties()).await.expect("a table").kept();
    let later = |days: i64| SystemClock.now().plus_millis(days * DAY);
    let fresh = Retention { before: 63, unchanged_since: later(-1) };
    assert_eq!(kept.drop_old(fresh).await.expect("drops"), Dropped::default(), "the log may have it");
    assert_eq!(complete_since(kept.delta()).await.expect("answers"), None);
    let retention = Retention { before: 63, unchanged_since: later(1) };
    assert_eq!(kept.drop_old(retention).await.expect("drops"), Dropped { folders: 2, files: 2 });
    let left = testing::rows(&lake, "bronze/events", &["ingested_at"]).await.expect("rows");
    assert_eq!(left, [["1970-04-04T00:00:00Z"]]);
    assert_eq!(kept.drop_old(retention).await.expect("drops"), Dropped::default());
    // What is gone does not come again, and how far the log is stays known.
    assert_eq!(appender.append(&[part(1, &[1, 2, 3])]).await.expect("appends").rows, 0);
    kept.refresh().await.expect("answers");
    assert_eq!(complete_since(kept.delta()).await.expect("answers"), Some(63));
    let earlier = Retention { before: 40, ..retention };
    kept.drop_old(earlier).await.expect("drops");
    assert_eq!(complete_since(kept.delta()).await.expect("answers"), Some(63), "it never says that more is there");
}

/// A figure of each of these days since 1970.
fn figures(interval: i64, days: &[i64]) -> TablePart {
    let mut rows = TableRows::new().expect("rows");
    for day in days {
        let time = Timestamp::saturating_from_millis(day * DAY);
        let Date { year, month, day } = time.into();
        rows.push(&QualityRow {
            interval,
            time,
            layer: "silver",
            table: "silver.events",
            measure: "rows",
            contract: None,
            rule: None,
            severity: None,
            value: 1.0,
            checked: None,
            threshold: None,
            good: None,
            version: 1,
            year,
            month,
            day,
        });
    }
    TablePart { app: AppId::of_stream(&QualityRow::TABLE), reaches: interval, rows: rows.take().expect("a batch") }
}

#[tokio::test]
async fn figures_of_quality_go_day_by_day_and_an_interval_does_not_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let table = lake.table(&QualityRow::TABLE, &properties()).await.expect("a table");
    let mut appender = Appender::new(table, "interval");
    appender.append(&[figures(60, &[10, 11, 12])]).await.expect("appends");
    let mut kept = lake.table(&QualityRow::TABLE, &properties()).await.expect("a table").kept();
    let retention = Retention { before: 12, unchanged_since: SystemClock.now().plus_millis(DAY) };
    assert_eq!(kept.drop_old(retention).await.expect("drops"), Dropped { folders: 2, files: 2 });
    let left = testing::rows(&lake, "gold/quality", &["time"]).await.expect("rows");
    assert_eq!(left, [["1970-01-13T00:00:00Z"]]);
    assert_eq!(appender.append(&[figures(60, &[10])]).await.expect("appends").rows, 0, "it was kept once");
}

#[test]
fn the_last_days_are_kept() {
    let now = Timestamp::saturating_from_millis(100 * DAY + 5);
    let Retention { before, unchanged_since } = Retention::of_days(30, now, 7);
    assert_eq!((before, unchanged_since.millis()), (70, 93 * DAY + 5));
}
