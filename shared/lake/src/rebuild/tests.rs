use deltalake::arrow::array::Int64Array;
use tidemill_domain::{Amount, Partition, Timestamp};

use super::*;
use crate::{
    AppId, Appender, CompactionGoal, Date, Money, OrderKeeper, Retention, S3Config, StorageConfig, TablePart,
    TableProperties, TableRows,
    tables::{OrderChange, SilverEvent, SilverOrder},
    testing,
};

const DAY: i64 = 86_400_000;

fn properties() -> TableProperties {
    TableProperties { owner: "a".into(), checkpoint_interval: 10, log_retention_hours: 24, deleted_files_hours: 24 }
}

fn app() -> AppId {
    AppId::of(&SilverEvent::TABLE, Partition::new(0))
}

/// An event for each sequence, in a month of 1970.
fn events(sequences: impl IntoIterator<Item = i64>, month: i64) -> RecordBatch {
    let mut rows = TableRows::new().expect("rows");
    for raw_seq in sequences {
        let time = Timestamp::saturating_from_millis((month - 1) * 31 * DAY + 10 * DAY);
        let Date { year, month, .. } = time.into();
        rows.push(&SilverEvent {
            partition: 0,
            raw_seq,
            index: 0,
            id: &raw_seq.to_string(),
            source: "shop",
            r#type: "order.placed",
            subject: Some("c"),
            time,
            received: time,
            late: false,
            backfill: raw_seq % 2 == 0,
            customer: None,
            country: None,
            region: None,
            ip_country: None,
            currency: None,
            base_currency: None,
            rate: None,
            data: None,
            enriched: Some("{}"),
            quality_score: None,
            year,
            month,
            email: None,
            phone: None,
            has_address: None,
            profile: None,
            quality_failed: None,
            warnings: None,
            redrive: None,
        });
    }
    rows.take().expect("a batch")
}

async fn lake() -> (tempfile::TempDir, Lake, Appender) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let appender = Appender::new(open(&lake).await, "raw_seq");
    (folder, lake, appender)
}

async fn open(lake: &Lake) -> LakeTable {
    lake.table(&SilverEvent::TABLE, &properties()).await.expect("a table")
}

async fn append(appender: &mut Appender, sequences: std::ops::RangeInclusive<i64>, month: i64) {
    let reaches = *sequences.end();
    let part = TablePart { app: app(), reaches, rows: events(sequences, month) };
    appender.append(&[part]).await.expect("appends");
}

async fn ids(lake: &Lake) -> Vec<i64> {
    let rows = testing::rows(lake, "silver/events", &["id"]).await.expect("rows");
    let mut ids: Vec<i64> = rows.iter().map(|row| row[0].parse().expect("a number")).collect();
    ids.sort_unstable();
    ids
}

fn compared(folder: &str, before: u64, after: u64, equal: bool) -> FolderComparison {
    FolderComparison { folder: folder.into(), before, after, equal, damaged: false }
}

#[tokio::test]
async fn a_part_is_compared_and_swapped_while_rows_come() {
    let (_folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=4, 1).await;
    append(&mut appender, 5..=6, 2).await;
    let months = Months::of(None, Some(Timestamp::saturating_from_millis(20 * DAY)));
    let mut rebuild = TableRebuild::begin(open(&lake).await, &months, [app()]).await.expect("begins");
    assert_eq!(rebuild.reached().get(&app()), Some(&6));
    // The new part lacks a row, and somebody goes on.
    rebuild.push(events([4, 2, 1], 1)).await.expect("is written");
    append(&mut appender, 7..=7, 1).await;
    let folders = rebuild.compare().await.expect("compares");
    assert_eq!(folders, [compared("year=1970/month=1", 4, 3, false)]);
    assert_eq!(ids(&lake).await, [1, 2, 3, 4, 5, 6, 7], "nobody sees anything of it so far");
    let version = rebuild.swap().await.expect("swaps").expect("nobody was in the way");
    assert_eq!((version, ids(&lake).await), (4, vec![1, 2, 4, 5, 6, 7]));
    append(&mut appender, 7..=8, 2).await;
    assert_eq!(ids(&lake).await, [1, 2, 4, 5, 6, 7, 8], "and the log goes on where it was");
    let mut back = lake.existing("silver/events").await.expect("answers").expect("a table");
    back.load_version(version - 1).await.expect("can be gone back to");
    assert_eq!(back.snapshot().expect("loaded").log_data().num_files(), 3);

    let mut again = TableRebuild::begin(open(&lake).await, &months, [app()]).await.expect("begins");
    again.push(events([1, 2, 4, 7], 1)).await.expect("is written");
    assert_eq!(again.compare().await.expect("compares"), [compared("year=1970/month=1", 4, 4, true)]);
}

#[tokio::test]
async fn who_changes_the_same_files_goes_first() {
    let (_folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=2, 1).await;
    append(&mut appender, 3..=4, 1).await;
    let mut rebuild = TableRebuild::begin(open(&lake).await, &Months::default(), [app()]).await.expect("begins");
    rebuild.push(events([1], 1)).await.expect("is written");
    rebuild.compare().await.expect("compares");
    let goal = CompactionGoal { file_bytes: std::num::NonZeroU64::new(1 << 20).expect("some"), least_files: 2 };
    assert_eq!(open(&lake).await.kept().compact(goal).await.expect("compacts").removed, 2);
    assert_eq!(rebuild.swap().await.expect("answers"), None);
    assert_eq!(ids(&lake).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn lost_rows_come_back_with_how_far_they_reach() {
    let (_folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=2, 1).await;
    let begin = async || {
        let mut rebuild = TableRebuild::begin(open(&lake).await, &Months::default(), [app()]).await.expect("begins");
        rebuild.push(events(1..=5, 1)).await.expect("is written");
        rebuild.reaches([(app(), 5)].into());
        rebuild.compare().await.expect("compares");
        rebuild
    };
    let (one, two) = (begin().await, begin().await);
    one.swap().await.expect("swaps").expect("nobody was in the way");
    assert_eq!(two.swap().await.expect("answers"), None, "the place has moved");
    append(&mut appender, 4..=6, 1).await;
    assert_eq!(ids(&lake).await, [1, 2, 3, 4, 5, 6], "each once");
}

#[tokio::test]
async fn a_file_that_is_lost_is_made_anew() {
    let (folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=2, 1).await;
    let table = lake.existing("silver/events").await.expect("answers").expect("a table");
    let file = table.get_file_uris().expect("files").next().expect("a file");
    std::fs::remove_file(file.trim_start_matches("file://")).expect("removes");
    let mut rebuild = TableRebuild::begin(open(&lake).await, &Months::default(), [app()]).await.expect("begins");
    rebuild.push(events(1..=2, 1)).await.expect("is written");
    let expected = FolderComparison { damaged: true, ..compared("year=1970/month=1", 0, 2, false) };
    assert_eq!(rebuild.compare().await.expect("compares"), [expected]);
    rebuild.swap().await.expect("swaps").expect("nobody was in the way");
    assert_eq!(ids(&lake).await, [1, 2]);
    drop(folder);
}

#[tokio::test]
async fn events_are_told_as_they_were_written() {
    let (_folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=3, 1).await;
    append(&mut appender, 4..=4, 3).await;
    let months = Months::of(None, Some(Timestamp::saturating_from_millis(20 * DAY)));
    let files = EventFiles::open(open(&lake).await, &months, [app()]).await.expect("opens");
    assert_eq!((files.len(), files.reached().get(&app())), (1, Some(&4)));
    let (mut file, mut told) = (files.file(0).await.expect("opens").expect("a file"), Vec::new());
    while file
        .next(|event| told.push(format!("{} {} {:?} {}", event.id, event.backfill, event.subject, event.time)))
        .expect("reads")
    {}
    let day = "1970-01-11T00:00:00Z";
    assert_eq!(
        told,
        [
            format!("1 false Some(\"c\") {day}"),
            format!("2 true Some(\"c\") {day}"),
            format!("3 false Some(\"c\") {day}")
        ]
    );
}

#[tokio::test]
async fn rows_out_of_the_quarantine_have_a_writer_and_a_number_of_their_own() {
    let (_folder, lake, mut appender) = lake().await;
    append(&mut appender, 1..=3, 1).await;
    let redrives = AppId::of_redrives(&SilverEvent::TABLE);
    let rows = redriven(events([2], 1), 7);
    appender.append(&[TablePart { app: redrives.clone(), reaches: 7, rows }]).await.expect("appends");
    let apps = || [app(), redrives.clone()];
    let files = EventFiles::open(open(&lake).await, &Months::default(), apps()).await.expect("opens");
    assert_eq!((files.reached().get(&app()), files.reached().get(&redrives)), (Some(&3), Some(&7)));
    let mut told = Vec::new();
    for place in 0..files.len() {
        let mut file = files.file(place).await.expect("opens").expect("a file");
        while file.next(|event| told.push((event.raw_seq, event.redrive))).expect("reads") {}
    }
    told.sort_unstable();
    assert_eq!(told, [(1, None), (2, None), (2, Some(7)), (3, None)]);

    let mut rebuild = TableRebuild::begin(open(&lake).await, &Months::default(), apps()).await.expect("begins");
    rebuild.push(events(1..=3, 1)).await.expect("is written");
    rebuild.push(redriven(events([2], 1), 7)).await.expect("is written");
    let equal = [compared("year=1970/month=1", 4, 4, true)];
    assert_eq!(rebuild.compare().await.expect("compares"), equal);
    rebuild.swap().await.expect("swaps").expect("nobody was in the way");
    let again = TablePart { app: redrives, reaches: 7, rows: redriven(events([2], 1), 7) };
    assert_eq!(appender.append(&[again]).await.expect("answers").rows, 0, "a redrive that is repeated adds nothing");
}

/// The same events, as a redrive adds them.
fn redriven(events: RecordBatch, redrive: i64) -> RecordBatch {
    let schema = events.schema();
    let mut columns = events.columns().to_vec();
    let place = schema.index_of("redrive").expect("a column");
    columns[place] = std::sync::Arc::new(Int64Array::from(vec![redrive; events.num_rows()]));
    RecordBatch::try_new(schema, columns).expect("a batch")
}

#[tokio::test]
async fn months_that_are_not_all_here_are_left_out() {
    let ((_here, here, mut appender), (_there, there, mut moved)) = (lake().await, lake().await);
    append(&mut appender, 1..=1, 1).await;
    append(&mut appender, 2..=2, 3).await;
    append(&mut moved, 1..=1, 2).await;
    let table = async |lake: &Lake| lake.existing("silver/events").await.expect("answers").expect("a table");
    let months = Months::default().complete_in(&table(&here).await).await.expect("answers");
    assert!(months.is_all(), "nothing was dropped");
    let retention = Retention { before: 31, unchanged_since: Timestamp::saturating_from_millis(i64::MAX) };
    assert_eq!(open(&here).await.kept().drop_old(retention).await.expect("drops").folders, 1);
    let months = Months::default().complete_in(&table(&here).await).await.expect("answers");
    assert_eq!([1, 2, 3].map(|month| months.has((1970, month))), [false, true, true]);
    let months = months.not_moved_to(&table(&there).await).await.expect("answers");
    assert_eq!([1, 2, 3].map(|month| months.has((1970, month))), [false, false, true]);
    let files = EventFiles::open(open(&here).await, &months, [app()]).await.expect("opens");
    assert_eq!((files.len(), months.is_all()), (1, false));
}

/// Changes of orders: sequence, order, who, and gross.
fn changes(all: &[(i64, &str, Option<&str>, i64)]) -> RecordBatch {
    let money = |amount: i64| Money::from(Amount::from_int(amount));
    let mut rows = TableRows::new().expect("rows");
    for &(raw_seq, order_id, customer, gross) in all {
        let time = Timestamp::saturating_from_millis(raw_seq * 1000);
        rows.push(&OrderChange {
            partition: 0,
            raw_seq,
            order_id,
            time,
            placed_at: (gross > 0).then_some(time),
            customer,
            country: None,
            region: None,
            currency: Some("EUR"),
            gross: money(gross),
            discount: money(0),
            revenue: money(gross),
            refund: money(0),
            cancelled: money(0),
            net: money(gross),
            shipping: money(0),
            tax: money(0),
            excess: money(0),
        });
    }
    rows.take().expect("a batch")
}

#[tokio::test]
async fn orders_are_what_their_changes_come_to_however_they_were_cut() {
    let (_folder, lake, _) = lake().await;
    let orders = async || lake.table(&SilverOrder::TABLE, &properties()).await.expect("a table");
    let app = AppId::of(&SilverOrder::TABLE, Partition::new(0));
    // The first who tells it is the customer, and the first placing counts.
    let all = [
        (1, "a", None, 10),
        (2, "a", Some("y"), 5),
        (2, "b", Some("q"), 1),
        (3, "a", Some("x"), 2),
        (4, "b", Some("p"), 3),
    ];
    let mut keeper = OrderKeeper::new(orders().await);
    for cut in [&all[..3], &all[3..]] {
        let reaches = cut.last().map_or(0, |change| change.0);
        keeper.apply(&[TablePart { app: app.clone(), reaches, rows: changes(cut) }]).await.expect("applies");
    }
    let rebuild = async |kept: &[(i64, &str, Option<&str>, i64)]| {
        let mut rebuild =
            OrderRebuild::begin(&lake, orders().await, &properties(), [app.clone()]).await.expect("begins");
        assert_eq!(rebuild.reached().get(&app), Some(&4));
        for change in kept {
            rebuild.push(changes(std::slice::from_ref(change))).await.expect("is written");
        }
        let folders = rebuild.compare_in_shares(2).await.expect("compares");
        (rebuild, folders)
    };
    let told = async || {
        let columns: Vec<&str> = SilverOrder::TABLE.columns.iter().map(|column| column.name).collect();
        let mut told = testing::rows(&lake, "silver/orders", &columns).await.expect("rows");
        told.sort();
        told
    };
    let before = told().await;
    let (same, folders) = rebuild(&all).await;
    same.swap().await.expect("swaps").expect("nobody was in the way");
    assert_eq!(told().await, before);
    assert_eq!(folders, [compared("", 2, 2, true)]);
    // One that ends anywhere leaves nothing that the next one would count.
    let (other, folders) = rebuild(&all[..4]).await;
    assert_eq!(folders, [compared("", 2, 2, false)]);
    other.swap().await.expect("swaps").expect("nobody was in the way");
    let mut told =
        testing::rows(&lake, "silver/orders", &["order_id", "customer", "net", "raw_seq"]).await.expect("rows");
    told.sort();
    assert_eq!(told, [["a", "y", "17.000000000000", "3"], ["b", "q", "1.000000000000", "2"]]);
    assert_eq!(keeper.reached(&app).await.expect("answers"), 4, "how far the log is stays");
    assert!(lake.existing("silver.next/order_changes").await.expect("answers").is_none(), "nothing is left");
}
