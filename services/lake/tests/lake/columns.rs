//! Members of events become columns of `silver.events` where somebody asks for them.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::{crate_folder, eventually, skipped_even_in_ci};

use crate::{
    common::{DEADLINE, StartingLake, TestShop, counts},
    rebuild::rebuilt,
};

const COUPONS: &str = "columns:\n  - {name: coupon, type: string, field: data.coupon, types: [order.placed], about: The code.}\n  \
                       - {name: weight, type: 'decimal(8,3)', field: data.parcel.weight}\n";

fn orders(ids: std::ops::Range<usize>) -> Vec<Value> {
    let order = |id: usize| {
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
            "subject": "c-1", "time": SystemClock.now(), "data": {"order_id": format!("o-{id}"),
            "coupon": format!("C{id}"), "parcel": {"weight": if id.is_multiple_of(2) { json!("1.5") } else { json!("much") }},
            "items": [{"product_id": "novel", "quantity": 1, "unit_price": "1.00"}]}})
    };
    ids.map(order).collect()
}

/// Settings with a file of columns.
fn with(shop: &TestShop, columns: &str) -> String {
    let file = shop.folder().join("columns.yaml");
    std::fs::write(&file, columns).expect("writes");
    format!("[contracts]\ncolumns = {:?}\n", file.display().to_string())
}

/// How many rows have something in a column.
async fn filled(shop: &TestShop, column: &str) -> usize {
    let rows = shop.rows("silver/events", &[column]).await;
    rows.iter().filter(|row| !row[0].is_empty()).count()
}

async fn events(shop: &TestShop, expected: usize) {
    counts("events of silver", expected, async || shop.rows("silver/events", &["id"]).await.len()).await;
}

/// Every version of the events is read by DuckDB.
async fn duckdb_reads_every_version(shop: &TestShop) {
    let versions = tidemill_lake_tables::testing::versions(&shop.tables(), "silver/events").await.expect("is read");
    let columns: BTreeMap<String, Vec<&String>> =
        versions.iter().map(|(version, totals)| (version.to_string(), totals.sums.keys().collect())).collect();
    let question = json!({"events": {"at": shop.folder().join("lake/silver/events"), "versions": columns}});
    let script = crate_folder().join("tests/lake/read_versions.py");
    let duckdb =
        Command::new("duckdb-python").arg(script).arg("duckdb").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match duckdb {
        Ok(child) => child,
        Err(error) => return skipped_even_in_ci("duckdb", &error.to_string()),
    };
    child.stdin.take().expect("is piped").write_all(question.to_string().as_bytes()).expect("takes the question");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "duckdb failed, as it says above");
    let told: Value = serde_json::from_slice(&output.stdout).expect("answers");
    for (version, totals) in versions {
        assert_eq!(told["events"][version.to_string()]["rows"], totals.rows, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_becomes_a_column_while_events_come_and_of_the_past_by_a_rebuild() {
    let shop = TestShop::start().await;
    let lake = shop.lake();
    shop.post(&orders(0..4), None).await;
    events(&shop, 4).await;
    lake.stop().await;

    let settings = with(&shop, COUPONS);
    // Killed at any await between the new column and its first rows.
    for _ in 0..2 {
        shop.lake_with(&settings).kill();
    }
    let lake = shop.lake_with(&settings);
    shop.post(&orders(4..10), None).await;
    events(&shop, 10).await;
    assert_eq!((filled(&shop, "coupon").await, filled(&shop, "weight").await), (6, 3), "older rows have none");
    let tables = rebuilt(&shop, &lake, "silver").await;
    assert!(!tables[0]["version"].is_null(), "{tables:?}");
    assert_eq!((filled(&shop, "coupon").await, filled(&shop, "weight").await), (10, 5));
    let again = rebuilt(&shop, &lake, "silver").await;
    assert!(again.iter().all(|table| table["differ"] == json!([])), "{again:?}");
    lake.stop().await;

    // Who does not know them leaves them as they are.
    let lake = shop.lake();
    shop.post(&orders(10..12), None).await;
    events(&shop, 12).await;
    assert_eq!(filled(&shop, "coupon").await, 10);
    lake.stop().await;
    duckdb_reads_every_version(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_is_refused_and_nothing_is_lost() {
    let shop = TestShop::start().await;
    let lake = shop.lake_with(&with(&shop, COUPONS));
    shop.post(&orders(0..3), None).await;
    events(&shop, 3).await;
    lake.stop().await;

    let wrong = with(&shop, "columns:\n  - {name: coupon, type: long, field: data.number}\n");
    let root = shop.folder().join("lake").display().to_string();
    let lake = StartingLake::begin(&shop.settings("lake.db", &root, &wrong));
    shop.post(&orders(3..6), None).await;
    eventually("the reason is told", DEADLINE, async || {
        let told = lake.context.health.problems().into_values().find(|told| told.contains("lake_schema"))?;
        assert!(told.contains("silver.events") && told.contains("coupon is string, and is to be long"), "{told}");
        Some(())
    })
    .await;
    lake.kill();

    let lake = shop.lake_with(&with(&shop, COUPONS));
    events(&shop, 6).await;
    assert_eq!(filled(&shop, "coupon").await, 6);
    lake.stop().await;
}
