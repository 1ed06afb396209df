use tidemill_domain::Partition;

use super::*;
use crate::{Appender, Lake, S3Config, StorageConfig, TableProperties, TableRows};

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(seconds * 1000)
}

/// Held back by a rule, at a sequence that is its second too.
fn part(rows: &[(i64, &str)], reaches: i64) -> TablePart {
    let mut held = TableRows::new().expect("rows");
    for (raw_seq, rule) in rows {
        held.push(&QuarantinedEvent {
            partition: 1,
            raw_seq: *raw_seq,
            index: 0,
            rule,
            contract: "c",
            contract_version: "1",
            pointer: None,
            id: None,
            source: None,
            r#type: None,
            time: None,
            received: at(*raw_seq),
            late: raw_seq % 2 == 0,
            event: &format!("line {raw_seq}"),
            redrive: None,
        });
    }
    let app = AppId::of(&QuarantinedEvent::TABLE, Partition::new(1));
    TablePart { app, reaches, rows: held.take().expect("a batch") }
}

fn scope(number: i64) -> RedriveScope {
    RedriveScope { number, rule: None, from: None, to: None }
}

async fn taken(keeper: &mut QuarantineKeeper, number: i64) -> Vec<i64> {
    keeper.taken(number).await.expect("answers").iter().map(|event| event.raw_seq).collect()
}

#[tokio::test]
async fn a_redrive_takes_its_rows_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let table = async || lake.table(&QuarantinedEvent::TABLE, &properties).await.expect("a table");
    let mut appender = Appender::new(table().await, "raw_seq");
    appender.append(&[part(&[(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "b")], 5)]).await.expect("appends");
    let (mut one, mut two) = (QuarantineKeeper::new(table().await), QuarantineKeeper::new(table().await));
    let only_a = RedriveScope { rule: Some("a".into()), from: Some(at(2)), to: Some(at(5)), ..scope(1) };
    one.take(&only_a, |event| event.raw_seq != 4).await.expect("takes");
    assert_eq!(taken(&mut one, 1).await, [3]);
    // Another one, to whom all pass by now, takes nothing more for it.
    two.take(&scope(1), |_| true).await.expect("takes");
    assert_eq!(taken(&mut two, 1).await, [3]);
    // Rows that come meanwhile do not hinder it, nor does it them.
    appender.append(&[part(&[(6, "a")], 6)]).await.expect("appends");
    let (first, second) = (scope(2), scope(2));
    let (first, second) = tokio::join!(one.take(&first, |event| event.late), two.take(&second, |event| event.late));
    first.and(second).expect("both are done");
    assert_eq!(taken(&mut one, 2).await, [2, 4, 6]);
    // One that takes nothing has come to its end too.
    one.take(&scope(3), |_| false).await.expect("takes");
    two.take(&scope(3), |_| true).await.expect("takes");
    assert_eq!(taken(&mut two, 3).await, Vec::<i64>::new());
    assert_eq!(
        (one.last().await.expect("answers"), appender.reached(&part(&[], 0).app).await.expect("answers")),
        (3, 6)
    );
    let held = one.taken(2).await.expect("answers");
    let second = HeldEvent { partition: 1, raw_seq: 2, index: 0, received: at(2), late: true, event: "line 2".into() };
    assert_eq!(held[0], second);
}
