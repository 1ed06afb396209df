//! Other engines read what the lake writes: every version of every table.

use std::{
    collections::BTreeMap,
    io::Write as _,
    num::NonZeroU64,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_lake_tables::{
    CompactionGoal, Lake, TableProperties,
    tables::{ALL, BronzeEvent, RejectedBody, SilverEvent, SilverOrder, SilverOrderLine},
    testing::{self, VersionTotals},
};
use tidemill_testkit::{crate_folder, eventually, skipped_even_in_ci};

use crate::common::{DEADLINE, TestLake, TestShop, counts};

/// How the lake of these tests is named.
const NAME: &str = "shop";

fn orders(ids: std::ops::Range<usize>) -> Vec<Value> {
    let order = |id: usize| {
        let product = if id.is_multiple_of(3) { "novel" } else { "chess" };
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
            "subject": "c-1", "time": SystemClock.now().plus_millis(-i64::try_from(id).unwrap_or_default() * 3_600_000),
            "data": {"order_id": format!("o-{id}"), "items": [
                {"product_id": product, "quantity": 1 + id % 3, "unit_price": format!("{id}.333333333333")}]}})
    };
    let refund = |id: usize| {
        json!({"specversion": "1.0", "type": "order.refunded", "source": "till", "id": format!("r-{id}"),
            "subject": "c-1", "time": SystemClock.now(), "data": {"order_id": format!("o-{id}"), "amount": "0.10"}})
    };
    let last = ids.end - 1;
    ids.map(order).chain([refund(last), json!({"no": "event"})]).collect()
}

/// A lake that has written its tables in several versions, put them together, and
/// deleted what no version needs.
async fn written(shop: &TestShop) -> Lake {
    let root = shop.folder().join("lake").display().to_string();
    let lake =
        TestLake::start(&shop.settings("lake.db", &root, &format!("id = {NAME:?}\n[gold]\nevery_seconds = 1\n")));
    let tables = shop.tables();
    for round in 0..4 {
        shop.post(&orders(round * 20 + 1..round * 20 + 21), Some("history")).await;
        counts("orders", (round + 1) * 20, async || shop.rows("silver/orders", &["order_id"]).await.len()).await;
    }
    eventually("gold is of all of it", DEADLINE, async || {
        let cells = shop.rows("gold/daily_metrics", &["orders"]).await;
        let orders: usize = cells.iter().map(|cell| cell[0].parse::<usize>().unwrap_or_default()).sum();
        (orders == 80).then_some(())
    })
    .await;
    eventually("each table has rows", DEADLINE, async || {
        for table in ["gold/customer_lifetime_value", "bronze/rejected", "silver/order_lines"] {
            if testing::versions(&tables, table).await.ok()?.values().all(|version| version.rows == 0) {
                return None;
            }
        }
        Some(())
    })
    .await;
    lake.stop().await;
    let properties = TableProperties {
        owner: NAME.into(),
        checkpoint_interval: 5,
        log_retention_hours: 168,
        deleted_files_hours: 168,
    };
    let goal = CompactionGoal { file_bytes: NonZeroU64::MIN.saturating_add(1 << 20), least_files: 2 };
    let declared =
        [&BronzeEvent::TABLE, &RejectedBody::TABLE, &SilverEvent::TABLE, &SilverOrderLine::TABLE, &SilverOrder::TABLE];
    for definition in declared {
        let mut table = tables.table(definition, &properties).await.expect("a table");
        let mut kept = tables.table(definition, &properties).await.expect("a table").kept();
        kept.compact(goal).await.expect("is compacted");
        kept.vacuum().await.expect("is cleaned up");
        table.refresh().await.expect("is read again");
        table.checkpoint().await.expect("is made");
    }
    tables
}

/// What an engine says of these versions; `None` where it is not there.
fn asked(program: &str, engine: &str, question: &Value) -> Option<BTreeMap<String, BTreeMap<u64, VersionTotals>>> {
    let script = crate_folder().join("tests/lake/read_versions.py");
    let child = Command::new(program).arg(script).arg(engine).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.inspect_err(|error| skipped_even_in_ci(engine, &format!("{program}: {error}"))).ok()?;
    child.stdin.take().expect("is piped").write_all(question.to_string().as_bytes()).expect("takes the question");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{program} failed, as it says above");
    let answer: BTreeMap<String, BTreeMap<u64, Value>> = serde_json::from_slice(&output.stdout).expect("answers");
    let totals = |told: &Value| VersionTotals {
        rows: usize::try_from(told["rows"].as_u64().expect("a number")).expect("few"),
        sums: told["sums"]
            .as_object()
            .expect("sums")
            .iter()
            .map(|(column, sum)| (column.clone(), sum.as_str().and_then(|sum| sum.parse().ok()).expect("a number")))
            .collect(),
    };
    let versions = |versions: &BTreeMap<u64, Value>| versions.iter().map(|(at, told)| (*at, totals(told))).collect();
    Some(answer.iter().map(|(path, told)| (path.clone(), versions(told))).collect())
}

async fn reads_every_version(program: &str, engine: &str) {
    let shop = TestShop::start().await;
    let tables = written(&shop).await;
    let gold = std::fs::read_dir(shop.folder().join("lake/gold")).expect("gold");
    let gold = gold.map(|entry| format!("gold/{}", entry.expect("a folder").file_name().display()));
    let paths: Vec<String> = ALL.iter().map(|table| table.path()).chain(gold).collect();
    assert!(paths.len() > 8, "{paths:?}");
    let (mut own, mut question) = (BTreeMap::new(), serde_json::Map::new());
    for path in paths {
        let versions = testing::versions(&tables, &path).await.expect("is read");
        let columns: BTreeMap<String, Vec<&String>> =
            versions.iter().map(|(version, totals)| (version.to_string(), totals.sums.keys().collect())).collect();
        let at = shop.folder().join("lake").join(&path);
        question.insert(path.clone(), json!({"at": at, "versions": columns}));
        own.insert(path, versions);
    }
    let Some(theirs) = asked(program, engine, &Value::Object(question)) else { return };
    let versions: usize = own.values().map(BTreeMap::len).sum();
    assert!(versions > 40, "{versions}");
    for (path, versions) in own {
        for (version, totals) in versions {
            let told = &theirs[&path][&version];
            assert_eq!(told.rows, totals.rows, "{path} at {version}");
            for (column, sum) in &totals.sums {
                // A column of nothing but nulls adds up to none there.
                assert_eq!(told.sums.get(column).copied().unwrap_or_default(), *sum, "{path}.{column} at {version}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_reads_every_version_of_every_table() {
    reads_every_version("duckdb-python", "duckdb").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make lake-test"]
async fn spark_reads_every_version_of_every_table() {
    reads_every_version("spark-python", "spark").await;
}
