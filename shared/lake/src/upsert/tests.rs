use deltalake::datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tidemill_domain::{Amount, Partition, Timestamp};

use super::*;
use crate::{
    AppId, Lake, Money, S3Config, StorageConfig, TableProperties, TableRows,
    tables::{OrderChange, SilverOrder},
};

/// A change of an order in euros: its sequence, gross, refund and cancelled.
fn part(changes: &[(i64, &str, i64, i64, i64)], reaches: i64) -> TablePart {
    part_in(Some("EUR"), changes, reaches)
}

fn part_in(currency: Option<&str>, changes: &[(i64, &str, i64, i64, i64)], reaches: i64) -> TablePart {
    let money = |amount: i64| Money::from(Amount::from_int(amount));
    let mut rows = TableRows::new().expect("rows");
    for &(raw_seq, order_id, gross, refund, cancelled) in changes {
        rows.push(&OrderChange {
            partition: 1,
            raw_seq,
            order_id,
            time: Timestamp::saturating_from_millis(raw_seq * 1000),
            placed_at: (gross > 0).then(|| Timestamp::saturating_from_millis(raw_seq * 1000)),
            customer: (gross > 0).then_some("c-1"),
            country: None,
            region: None,
            currency,
            gross: money(gross),
            discount: money(0),
            revenue: money(gross),
            refund: money(refund),
            cancelled: money(cancelled),
            net: money(gross - refund - cancelled),
            shipping: money(0),
            tax: money(0),
            excess: money(0),
        });
    }
    let app = AppId::of(&SilverOrder::TABLE, Partition::new(1));
    TablePart { app, reaches, rows: rows.take().expect("a batch") }
}

/// Order, net, status and customer of all orders.
async fn orders(lake: &Lake) -> Vec<String> {
    let table = lake.existing("silver/orders").await.expect("answers").expect("a table");
    let context = SessionContext::new();
    let provider = table.table_provider().await.expect("a provider");
    context.register_table("orders", provider).expect("registers");
    let sql = "SELECT order_id || ' ' || CAST(CAST(net AS BIGINT) AS TEXT) || ' ' || status || ' ' || \
               coalesce(customer, '-') AS told FROM orders ORDER BY order_id, told";
    let batches = context.sql(sql).await.expect("plans").collect().await.expect("answers");
    let text = |batch: &RecordBatch| {
        (0..batch.num_rows())
            .map(|row| deltalake::arrow::util::display::array_value_to_string(batch.column(0), row).expect("text"))
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

#[tokio::test]
async fn orders_follow_their_changes_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let keeper = async || OrderKeeper::new(lake.table(&SilverOrder::TABLE, &properties).await.expect("a table"));
    let (mut one, mut two) = (keeper().await, keeper().await);
    let first = part(&[(1, "a", 10, 0, 0), (1, "b", 5, 0, 0), (2, "c", 0, 3, 0), (3, "d", 7, 0, 0)], 3);
    assert_eq!(one.apply(std::slice::from_ref(&first)).await.expect("applies").rows, 4);
    assert_eq!(one.apply(&[first]).await.expect("applies").rows, 0, "what is there is left out");
    assert_eq!(orders(&lake).await, ["a 10 placed c-1", "b 5 placed c-1", "c -3 unknown -", "d 7 placed c-1"]);
    // One that has not heard of that, and has read further.
    let further =
        part(&[(3, "d", 7, 0, 0), (4, "a", 0, 4, 0), (5, "b", 0, 0, 5), (6, "c", 3, 0, 0), (6, "d", 0, 7, 0)], 7);
    assert_eq!(two.apply(&[further]).await.expect("applies").rows, 4);
    let expected = ["a 6 partly_refunded c-1", "b 0 cancelled c-1", "c 0 refunded c-1", "d 0 refunded c-1"];
    assert_eq!(orders(&lake).await, expected);
    // The place moves on without changes.
    let nothing = part(&[], 9);
    assert_eq!(one.apply(std::slice::from_ref(&nothing)).await.expect("applies").rows, 0);
    assert_eq!(one.reached(&nothing.app).await.expect("answers"), 9);
}

#[tokio::test]
async fn amounts_of_two_currencies_are_not_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let mut keeper = OrderKeeper::new(lake.table(&SilverOrder::TABLE, &properties).await.expect("a table"));
    for (currency, change, reaches) in [
        (Some("GBP"), (1, "a", 10, 0, 0), 1),
        (Some("EUR"), (2, "a", 0, 3, 0), 2),
        (None, (3, "a", 0, 0, 2), 3),
        (Some("GBP"), (4, "a", 0, 4, 0), 4),
        (None, (5, "a", 0, 0, 1), 5),
    ] {
        keeper.apply(&[part_in(currency, &[change], reaches)]).await.expect("applies");
    }
    assert_eq!(orders(&lake).await, ["a -3 unknown -", "a -3 unknown -", "a 6 partly_refunded c-1"]);
}

/// Number of its order, whether it is in euros, gross, refund and cancelled.
type OneChange = (usize, bool, i64, i64, i64);

/// A change of one of a few orders, in one of two currencies.
fn change() -> impl Strategy<Value = OneChange> {
    (0..12_usize, any::<bool>(), 0..5_i64, 0..3_i64, 0..3_i64)
}

/// All columns of orders as texts, in the order of those.
fn told(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let schema = arrow_schema(&SilverOrder::TABLE);
    let mut rows = Vec::new();
    for batch in batches {
        let batch = crate::read::with_columns(batch, &schema).expect("the columns of orders");
        let text = |column: usize, row| {
            deltalake::arrow::util::display::array_value_to_string(batch.column(column), row).expect("a text")
        };
        let all = (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| text(column, row)).collect());
        rows.extend(all.collect::<Vec<Vec<String>>>());
    }
    rows.sort();
    rows
}

/// However changes are cut into commits, by whichever of two keepers, with files put together and an index
/// that knows them or not, the table comes to what all of them come to at once.
async fn comes_to_the_same(commits: Vec<(bool, bool, Vec<OneChange>)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let table = async || lake.table(&SilverOrder::TABLE, &properties).await.expect("a table");
    let mut keepers = [OrderKeeper::new(table().await), OrderKeeper::new(table().await)];
    let (mut all, mut sequence) = (Vec::new(), 0);
    for (is_first, is_compacted, changes) in commits {
        let ids: Vec<String> = changes.iter().map(|change| format!("o-{}", change.0)).collect();
        let mut parts = Vec::new();
        for ((_, in_euros, gross, refund, cancelled), id) in changes.iter().zip(&ids) {
            sequence += 1;
            let currency = if *in_euros { Some("EUR") } else { None };
            parts.push(part_in(currency, &[(sequence, id, *gross, *refund, *cancelled)], sequence).rows);
        }
        let rows = concat_batches(&arrow_schema(&OrderChange::TABLE), &parts).expect("one batch");
        all.push(rows.clone());
        let app = AppId::of(&SilverOrder::TABLE, Partition::new(1));
        let keeper = &mut keepers[usize::from(is_first)];
        keeper.apply(&[TablePart { app, reaches: sequence, rows }]).await.expect("applies");
        if is_compacted {
            let goal = crate::CompactionGoal { file_bytes: std::num::NonZeroU64::MAX, least_files: 2 };
            table().await.kept().compact(goal).await.expect("compacts");
        }
    }
    let all = concat_batches(&arrow_schema(&OrderChange::TABLE), &all).expect("one batch");
    let expected = orders_of(all).await.expect("orders");
    let table = table().await;
    let mut stored = Vec::new();
    for file in crate::kept::files(table.delta()).await.expect("files") {
        for rows in crate::read::reader(table.delta(), &file.path).await.expect("a file") {
            stored.push(rows.expect("rows"));
        }
    }
    assert_eq!(told(&stored), told(&expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn orders_come_to_what_all_changes_come_to(
        commits in proptest::collection::vec((any::<bool>(), any::<bool>(), proptest::collection::vec(change(), 1..8)), 1..7)
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(comes_to_the_same(commits));
    }
}

#[tokio::test]
async fn files_of_orders_that_do_not_change_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let properties = TableProperties {
        owner: "a".into(),
        checkpoint_interval: 10,
        log_retention_hours: 24,
        deleted_files_hours: 24,
    };
    let table = async || lake.table(&SilverOrder::TABLE, &properties).await.expect("a table");
    let mut keeper = OrderKeeper::new(table().await);
    let paths = async || {
        let files = crate::kept::files(table().await.delta()).await.expect("files");
        files.into_iter().map(|file| file.path).collect::<std::collections::BTreeSet<_>>()
    };
    keeper.apply(&[part(&[(1, "a", 10, 0, 0), (1, "b", 5, 0, 0)], 1)]).await.expect("applies");
    let first = paths().await;
    keeper.apply(&[part(&[(2, "c", 10, 0, 0)], 2)]).await.expect("applies");
    let both = paths().await;
    assert!(both.is_superset(&first) && both.len() == 2, "new orders are in a file of theirs");
    keeper.apply(&[part(&[(3, "c", 0, 1, 0)], 3)]).await.expect("applies");
    let changed = paths().await;
    assert!(changed.is_superset(&first) && changed.len() == 2, "only the file of the order is written anew");
    assert_eq!(orders(&lake).await, ["a 10 placed c-1", "b 5 placed c-1", "c 9 partly_refunded c-1"]);
}
