//! Data contracts: what tables have, and what becomes of events that break a rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tidemill_contracts::ContractSet;
use tidemill_domain::{Amount, Clock, SystemClock};
use tidemill_lake_tables::tables::ALL;
use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestLake, TestShop, counts};

const ORDERS: usize = 12;

fn order(number: usize) -> Value {
    json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{number}"),
        "subject": "c-1", "time": SystemClock.now().to_string(),
        "data": {"order_id": format!("o-{number}"), "email": " Jane@Example.COM", "phone": "030 123456",
            "billing_address": {"city": "Bonn"},
            "items": [{"product_id": "novel", "quantity": 2, "unit_price": "10.50"}]}})
}

/// The contract that comes with the lake, with a rule against these orders.
fn write_contract(folder: &Path, severity: &str, against: &[usize]) {
    let contract = include_str!("../../contracts/silver.events.yaml");
    let ids: Vec<String> = against.iter().map(|number| format!("'o-{number}'")).collect();
    let rule = format!(
        "    quality:\n      - name: fit\n        type: custom\n        engine: cel\n        severity: {severity}\n        \
         implementation: {{types: [order.placed], pointer: /data/order_id, condition: \"!(data.order_id in [{}])\"}}\n",
        ids.join(", ")
    );
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("events.yaml"), contract.replacen("    quality:\n", &rule, 1)).expect("writes");
}

fn lake(shop: &TestShop) -> TestLake {
    let folder = shop.folder().join("contracts");
    shop.lake_with(&format!("[contracts]\nfolder = {folder:?}\n[gold]\nevery_seconds = 1\n"))
}

async fn ids(shop: &TestShop, path: &str) -> Vec<String> {
    let mut ids: Vec<String> = shop.rows(path, &["id"]).await.into_iter().map(|row| row[0].clone()).collect();
    ids.sort();
    ids
}

async fn call(shop: &TestShop, lake: &TestLake, path: &str) -> Option<Value> {
    shop.http.get(format!("http://{}{path}", lake.address)).send().await.ok()?.json().await.ok()
}

/// Orders a redrive; lakes are killed and started until it is done.
async fn redriven(shop: &TestShop, lakes: &mut Vec<TestLake>, random: &mut StdRng, body: &Value) {
    let url = format!("http://{}/v1/redrives", lakes[0].address);
    let answer = shop.http.post(url).json(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let number = answer.json::<Value>().await.expect("JSON")["number"].clone();
    for _ in 0..6 {
        // Any await of it may be the last one.
        tokio::time::sleep(Duration::from_millis(random.random_range(500..3000))).await;
        let victim = random.random_range(0..lakes.len());
        lakes.swap_remove(victim).kill();
        lakes.push(lake(shop));
    }
    eventually("the redrive is done", DEADLINE, async || {
        call(shop, &lakes[0], &format!("/v1/redrives/{number}")).await?["done_at"].as_str().map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_comes_back_once_whatever_happens_to_the_lake() {
    let shop = TestShop::start().await;
    let (folder, mut random) = (shop.folder().join("contracts"), StdRng::seed_from_u64(7));
    let events: Vec<Value> = (0..ORDERS).map(order).collect();
    shop.post(&events, None).await;
    shop.balanced(ORDERS as u64).await;
    let all: Vec<String> = {
        let ids: BTreeSet<String> = (0..ORDERS).map(|number| format!("o-{number}")).collect();
        ids.into_iter().collect()
    };

    // A rule that stops: readiness says which and where, and the log keeps what waits.
    write_contract(&folder, "fail", &[4]);
    let stopped = lake(&shop);
    eventually("the lake says why it stands", DEADLINE, async || {
        let told = call(&shop, &stopped, "/readyz").await?.to_string();
        (told.contains("rule `fit`") && told.contains("/data/order_id")).then_some(())
    })
    .await;
    assert!(!ids(&shop, "silver/events").await.contains(&"o-4".to_owned()));
    stopped.kill();

    // One that holds back.
    write_contract(&folder, "quarantine", &[1, 2, 3, 4]);
    let mut lakes = vec![lake(&shop), lake(&shop)];
    counts("events of silver", ORDERS - 4, async || ids(&shop, "silver/events").await.len()).await;
    counts("events held back", 4, async || ids(&shop, "silver/quarantine").await.len()).await;
    let held = shop.rows("silver/quarantine", &["rule", "pointer", "contract_version", "redrive"]).await;
    assert!(held.iter().all(|row| row[..] == ["fit", "/data/order_id", "1.0.0", ""]), "{held:?}");
    counts("orders", ORDERS - 4, async || shop.rows("silver/orders", &["order_id"]).await.len()).await;
    lakes.drain(..).for_each(TestLake::kill);

    // The rule is put right, but for one of them.
    write_contract(&folder, "quarantine", &[4]);
    lakes.extend([lake(&shop), lake(&shop)]);
    let url = format!("http://{}/v1/redrives", lakes[0].address);
    let refused = shop.http.post(&url).json(&json!({"rule": "fitt"})).send().await.expect("an answer");
    assert_eq!(refused.status(), 422);
    let told: Value = refused.json().await.expect("JSON");
    let detail = told["errors"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("no contract has the rule `fitt`") && detail.contains(" fit,"), "{told}");
    let refused = shop.http.get(format!("{url}/99999999999999999999")).send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), refused.json::<Value>().await.expect("JSON")["code"].as_str()),
        (422, Some("invalid_parameter"))
    );
    redriven(&shop, &mut lakes, &mut random, &json!({"rule": "fit"})).await;
    let fit: Vec<String> = all.iter().filter(|id| *id != "o-4").cloned().collect();
    assert_eq!(ids(&shop, "silver/events").await, fit);
    let held = shop.rows("silver/quarantine", &["id", "redrive"]).await;
    let held: BTreeMap<&str, &str> = held.iter().map(|row| (&*row[0], &*row[1])).collect();
    assert_eq!(held, BTreeMap::from([("o-1", "1"), ("o-2", "1"), ("o-3", "1"), ("o-4", "")]));
    lakes.drain(..).for_each(TestLake::kill);

    write_contract(&folder, "warn", &[4]);
    lakes.extend([lake(&shop), lake(&shop)]);
    redriven(&shop, &mut lakes, &mut random, &json!({})).await;
    assert_eq!(ids(&shop, "silver/events").await, all);
    let rows = shop.rows("silver/events", &["id", "warnings", "redrive", "email", "phone"]).await;
    let last = rows.iter().find(|row| row[0] == "o-4").expect("it is there");
    assert_eq!(last[1..], ["fit", "2", "jane@example.com", "+4930123456"]);
    let net = async |path: &str| -> Amount {
        let rows = shop.rows(path, &["net"]).await;
        rows.iter().map(|row| row[0].parse::<Amount>().expect("an amount")).sum()
    };
    let expected: Amount = "252".parse().expect("an amount");
    assert_eq!((net("silver/order_lines").await, net("silver/orders").await), (expected, expected));
    // Gold computes the days of what came out of the quarantine, and says what the stream says.
    eventually("gold says what the stream says", DEADLINE, async || {
        (net("gold/order_metrics").await == expected).then_some(())
    })
    .await;
    for lake in lakes {
        lake.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_say_what_the_tables_have() {
    let shop = TestShop::start().await;
    let lake = shop.lake_with("[gold]\nevery_seconds = 1\n[quality]\nevery_seconds = 1\nchecks_every_seconds = 1\n");
    shop.post(&[order(0)], None).await;
    shop.balanced(1).await;
    let contracts = ContractSet::load(None).expect("contracts");
    let wanted: BTreeSet<String> = contracts.iter().map(|contract| contract.table.replace('/', ".")).collect();
    let tables = eventually("every table is there", DEADLINE, async || {
        let told = call(&shop, &lake, "/v1/tables").await?;
        let tables: BTreeMap<String, Value> = told["tables"]
            .as_array()?
            .iter()
            .map(|table| (table["name"].as_str().unwrap_or_default().into(), table.clone()))
            .collect();
        wanted.iter().all(|name| tables.contains_key(name)).then_some(tables)
    })
    .await;
    for contract in contracts.iter() {
        let table = &tables[&contract.table.replace('/', ".")];
        let columns = table["columns"].as_array().expect("columns").iter();
        let has: BTreeMap<&str, &str> = columns
            .map(|column| (column["name"].as_str().expect("a name"), column["type"].as_str().expect("a type")))
            .collect();
        let says: BTreeMap<&str, &str> = contract.columns.iter().map(|column| (&*column.name, &*column.kind)).collect();
        assert_eq!(has, says, "{}", contract.table);
        if let Some(declared) = ALL.iter().find(|declared| declared.path() == contract.table) {
            let required: Vec<&str> =
                contract.columns.iter().filter(|column| column.required).map(|column| &*column.name).collect();
            let never_null: Vec<&str> =
                declared.columns.iter().filter(|column| !column.nullable).map(|column| column.name).collect();
            assert_eq!(required, never_null, "{}", contract.table);
        }
    }
    eventually("the customer is known", DEADLINE, async || {
        let columns = ["customer", "current", "country", "email", "phone", "has_address", "quality_score"];
        let known = shop.rows("silver/customers", &columns).await;
        (known == [["c-1", "true", "DE", "jane@example.com", "+4930123456", "true", "1.0"]]).then_some(())
    })
    .await;
    lake.stop().await;
}
