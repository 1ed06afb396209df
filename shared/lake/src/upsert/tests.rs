use deltalake::datafusion::prelude::SessionContext;
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
