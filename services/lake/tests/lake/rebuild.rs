//! A layer comes back from the one below, whatever happens meanwhile.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestLake, TestShop, counts};

const LINES: [&str; 8] = ["raw_seq", "index", "line", "event_id", "category", "net", "base_net", "late"];
const ORDERS: [&str; 6] = ["order_id", "customer", "placed_at", "net", "status", "raw_seq"];

fn order(id: &str, customer: &str) -> Value {
    json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": id, "subject": customer,
        "time": SystemClock.now().to_string(),
        "data": {"order_id": id, "items": [
            {"product_id": "novel", "quantity": 2, "unit_price": "10.50"},
            {"product_id": "chess", "quantity": 1, "unit_price": "0.333"}]}})
}

fn refund(id: &str) -> Value {
    json!({"specversion": "1.0", "type": "order.refunded", "source": "till", "id": format!("r-{id}"), "subject": "c-9",
        "time": SystemClock.now().to_string(), "data": {"order_id": id, "amount": "1.00"}})
}

async fn sorted(shop: &TestShop, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut rows = shop.rows(table, columns).await;
    rows.sort();
    rows
}

/// Orders, some of which are given back, in the tables of silver.
async fn filled(shop: &TestShop) {
    for part in 0..4 {
        let orders: Vec<Value> = (0..10).map(|n| order(&format!("o-{part}-{n}"), "c-1")).collect();
        shop.post(&orders, None).await;
    }
    shop.post(&[refund("o-0-1"), refund("o-3-2")], None).await;
    counts("events of silver", 42, async || shop.rows("silver/events", &["id"]).await.len()).await;
    counts("orders", 40, async || shop.rows("silver/orders", &["order_id"]).await.len()).await;
    settled(shop).await;
}

/// All tables of silver have what its events have.
async fn settled(shop: &TestShop) {
    eventually("order lines are there", DEADLINE, async || {
        let events: BTreeSet<_> = shop.rows("silver/events", &["raw_seq", "index"]).await.into_iter().collect();
        let lines: BTreeSet<_> = shop.rows("silver/order_lines", &["raw_seq", "index"]).await.into_iter().collect();
        (events == lines).then_some(())
    })
    .await;
}

pub(crate) async fn begin(shop: &TestShop, lake: &TestLake, layer: &str) -> (u16, Value) {
    let url = format!("http://{}/v1/rebuilds", lake.address);
    let answer = shop.http.post(url).json(&json!({ "layer": layer })).send().await.expect("the lake answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn newest(shop: &TestShop, lake: &TestLake) -> Value {
    let url = format!("http://{}/v1/rebuilds", lake.address);
    shop.http.get(url).send().await.expect("the lake answers").json().await.expect("JSON")
}

/// Waits until a rebuild has gone so many steps, or has ended.
async fn stepped(shop: &TestShop, lake: &TestLake, steps: usize) {
    let seen = RefCell::new(BTreeSet::new());
    eventually("a rebuild goes on", DEADLINE, async || {
        let now = newest(shop, lake).await;
        seen.borrow_mut().insert(format!("{} {}", now["stage"], now["done"]));
        (seen.borrow().len() > steps || now["phase"] != "running").then_some(())
    })
    .await;
}

/// Makes a layer anew, and answers what became of its tables.
pub(crate) async fn rebuilt(shop: &TestShop, lake: &TestLake, layer: &str) -> Vec<Value> {
    let begun = eventually("a rebuild begins", DEADLINE, async || {
        let (status, begun) = begin(shop, lake, layer).await;
        assert!(status == 202 || status == 409, "{begun}");
        (status == 202).then_some(begun)
    })
    .await;
    let ended = eventually("a rebuild ends", DEADLINE, async || {
        let now = newest(shop, lake).await;
        assert_eq!(now["id"], begun["id"], "{now}");
        (now["phase"] != "running").then_some(now)
    })
    .await;
    assert_eq!(ended["phase"], "done", "{ended}");
    ended["tables"].as_array().expect("tables").clone()
}

fn folder(shop: &TestShop, table: &str) -> PathBuf {
    shop.folder().join("lake").join(table)
}

/// A number of gold, its events, and their lines as they were sent.
async fn a_number_leads_back_to_its_lines(shop: &TestShop, lake: &TestLake) {
    let sql = "select window_start, category from gold.sales_metrics where category = 'Books' limit 1";
    let answer = shop.http.post(format!("http://{}/v1/sql", lake.address)).json(&json!({ "sql": sql }));
    let answer: Value = answer.send().await.expect("the lake answers").json().await.expect("JSON");
    let window = answer["rows"][0]["window_start"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let ask = async |parameters: &str| -> (u16, Value) {
        let url = format!("http://{}/v1/lineage/sales_metrics?window={window}&{parameters}", lake.address);
        let answer = shop.http.get(url).send().await.expect("the lake answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    };
    let (status, lineage) = ask("category=Books&limit=3").await;
    assert_eq!((status, &lineage["equal"]), (200, &json!(true)), "{lineage}");
    assert_eq!(lineage["gold"]["release"], env!("CARGO_PKG_VERSION"), "{lineage}");
    for event in lineage["events"].as_array().expect("events") {
        let line = event["event"].as_str().expect("bronze has it");
        assert!(line.contains(event["id"].as_str().expect("an id")), "{event}");
    }
    assert!(!lineage["events"][0].is_null() && !lineage["made_of"][0]["reference"].is_null(), "{lineage}");
    let (status, problem) = ask("category=Cars").await;
    let told = problem["detail"].as_str().unwrap_or_default();
    assert!(status == 422 && told.contains("Books"), "{problem}");
}

/// Deletes a table while nobody writes to it.
async fn deleted(shop: &TestShop, lake: TestLake, table: &str) -> TestLake {
    lake.stop().await;
    std::fs::remove_dir_all(folder(shop, table)).expect("is deleted");
    shop.lake()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_thrown_away_comes_back_equal() {
    let shop = TestShop::start().await;
    let mut lake = shop.lake();
    filled(&shop).await;
    let (lines, orders) =
        (sorted(&shop, "silver/order_lines", &LINES).await, sorted(&shop, "silver/orders", &ORDERS).await);
    for table in rebuilt(&shop, &lake, "silver").await {
        assert_eq!((&table["differ"], &table["version"]), (&json!([]), &Value::Null), "{table}");
        assert!(table["after"].as_u64() >= Some(40), "{table}");
    }

    rebuilt(&shop, &lake, "gold").await;
    a_number_leads_back_to_its_lines(&shop, &lake).await;

    for (table, columns, expected) in [("silver/order_lines", &LINES[..], &lines), ("silver/orders", &ORDERS, &orders)]
    {
        lake = deleted(&shop, lake, table).await;
        let tables = rebuilt(&shop, &lake, "silver").await;
        let name = table.replace('/', ".");
        let told = tables.iter().find(|told| told["table"] == *name).expect("it is told");
        assert_eq!(told["before"], 0, "{told}");
        assert_eq!(&sorted(&shop, table, columns).await, expected, "{name}");
    }

    let columns = ["raw_seq", "index", "id", "time", "late", "data", "enriched"];
    let events = sorted(&shop, "silver/events", &columns).await;
    lake = deleted(&shop, lake, "silver/events").await;
    counts("events of silver", events.len(), async || shop.rows("silver/events", &["id"]).await.len()).await;
    assert_eq!(sorted(&shop, "silver/events", &columns).await, events, "from the log");
    assert_eq!(sorted(&shop, "silver/order_lines", &LINES).await, lines, "each once");
    lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_while_a_layer_is_made_anew_and_a_run_that_dies_can_be_repeated() {
    let shop = TestShop::start().await;
    let mut lake = shop.lake();
    filled(&shop).await;
    // A row too few, and one too many.
    let path = folder(&shop, "silver/order_lines");
    let lost = walk(&path).into_iter().next().expect("a file");
    std::fs::remove_file(lost).expect("is deleted");
    for n in 0..6 {
        let orders: Vec<Value> = (0..5).map(|of| order(&format!("more-{n}-{of}"), "c-1")).collect();
        shop.post(&orders, None).await;
        let (status, told) = begin(&shop, &lake, "silver").await;
        assert!(status == 202 || status == 409, "{told}");
        // Each time it gets a step further.
        stepped(&shop, &lake, n).await;
        if n % 2 == 0 {
            lake.kill();
            lake = shop.lake();
        }
    }
    let tables = rebuilt(&shop, &lake, "silver").await;
    assert_eq!(tables.len(), 3, "{tables:?}");
    counts("orders", 70, async || shop.rows("silver/orders", &["order_id"]).await.len()).await;
    settled(&shop).await;
    let rows = sorted(&shop, "silver/order_lines", &["raw_seq", "index", "line"]).await;
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len(), "each once");
    for layer in ["silver", "gold"] {
        rebuilt(&shop, &lake, layer).await;
        for table in rebuilt(&shop, &lake, layer).await {
            assert_eq!(table["differ"], json!([]), "{table}");
        }
    }
    lake.stop().await;
}

/// Settings by which events of whom no country is known are held back.
fn strict(shop: &TestShop) -> String {
    let (lax, strict) = ("severity: warn", "severity: quarantine");
    let rule = "\n        implementation: {check: known_country}";
    let contract = include_str!("../../contracts/silver.events.yaml");
    let changed = contract.replace(&format!("{lax}{rule}"), &format!("{strict}{rule}"));
    assert_ne!(changed, contract);
    let folder = shop.folder().join("contracts");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("silver.events.yaml"), changed).expect("writes");
    format!("[contracts]\nfolder = {:?}\n", folder.display().to_string())
}

async fn redrive(shop: &TestShop, lake: &TestLake) {
    let url = format!("http://{}/v1/redrives", lake.address);
    let ordered = shop.http.post(&url).json(&json!({})).send().await.expect("the lake answers");
    let ordered: Value = ordered.json().await.expect("JSON");
    let number = ordered["number"].as_i64().unwrap_or_else(|| panic!("{ordered}"));
    eventually("a redrive is done", DEADLINE, async || {
        let answer = shop.http.get(format!("{url}/{number}")).send().await.expect("the lake answers");
        let answer: Value = answer.json().await.expect("JSON");
        answer["done_at"].is_string().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_out_of_the_quarantine_come_back_too() {
    let shop = TestShop::start().await;
    let lake = shop.lake_with(&strict(&shop));
    let orders: Vec<Value> = (0..6).map(|n| order(&format!("q-{n}"), ["c-1", "c-7"][n % 2])).collect();
    shop.post(&orders, None).await;
    counts("events of silver", 3, async || shop.rows("silver/events", &["id"]).await.len()).await;
    counts("events held back", 3, async || shop.rows("silver/quarantine", &["id"]).await.len()).await;
    lake.stop().await;
    let mut lake = shop.lake();
    redrive(&shop, &lake).await;
    shop.post(&[refund("q-1"), refund("q-2")], None).await;
    counts("events of silver", 8, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let refunded = async || {
        let told = shop.rows("silver/orders", &["status"]).await;
        told.into_iter().filter(|row| row[0] == "partly_refunded").count()
    };
    counts("orders that were refunded", 2, refunded).await;
    settled(&shop).await;
    let held = sorted(&shop, "silver/quarantine", &["raw_seq", "index", "redrive"]).await;
    let (lines, orders) =
        (sorted(&shop, "silver/order_lines", &LINES).await, sorted(&shop, "silver/orders", &ORDERS).await);
    let tables = rebuilt(&shop, &lake, "silver").await;
    let names = ["silver.events", "silver.order_lines", "silver.orders"];
    assert_eq!(tables.iter().map(|table| &table["table"]).collect::<Vec<_>>(), names);
    assert!(tables.iter().all(|table| table["differ"] == json!([])), "{tables:?}");
    for (table, columns, expected) in [("silver/order_lines", &LINES[..], &lines), ("silver/orders", &ORDERS, &orders)]
    {
        lake = deleted(&shop, lake, table).await;
        rebuilt(&shop, &lake, "silver").await;
        assert_eq!(&sorted(&shop, table, columns).await, expected, "{table}");
    }
    redrive(&shop, &lake).await;
    assert_eq!(sorted(&shop, "silver/order_lines", &LINES).await, lines, "each once");
    assert_eq!(sorted(&shop, "silver/quarantine", &["raw_seq", "index", "redrive"]).await, held, "as it was");
    rebuilt(&shop, &lake, "gold").await;
    a_number_leads_back_to_its_lines(&shop, &lake).await;
    lake.stop().await;
}

/// The data files of a table.
fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| match path.is_dir() {
        true if path.ends_with("_delta_log") => Vec::new(),
        true => walk(&path),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}
