use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tidemill_domain::{Amount, Clock, SystemClock};

use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestShop, counts};

const ORDERS: usize = 400;
const DAY: i64 = 86_400_000;

fn order(id: &str, days_ago: i64) -> Value {
    json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": id, "subject": "c-1",
        "time": SystemClock.now().plus_millis(-days_ago * DAY).to_string(),
        "data": {"order_id": id, "items": [
            {"product_id": "novel", "quantity": 2, "unit_price": "10.50"},
            {"product_id": "chess", "quantity": 1, "unit_price": "0.333"}]}})
}

/// Orders in any order, some of them twice, some that are no events, and one that is
/// late in each partition that has a clock.
fn events(random: &mut StdRng) -> Vec<Value> {
    let mut events: Vec<Value> = (0..ORDERS).map(|number| order(&format!("o-{number}"), 0)).collect();
    let again: Vec<Value> = (0..ORDERS / 10).map(|number| events[number * 7].clone()).collect();
    events.extend(again);
    events.extend((0..20).map(|number| {
        json!({"specversion": "1.0", "type": "order.placed", "source": "till",
        "id": format!("bad-{number}"), "time": "2026-01-01T00:00:00Z", "data": {"items": "none"}})
    }));
    events.shuffle(random);
    events
}

fn changed(kind: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "type": kind, "source": "till", "id": kind, "subject": "c-1",
        "time": SystemClock.now().to_string(), "data": data})
}

/// What the suite says is left of its orders.
async fn net_by_category(shop: &TestShop) -> BTreeMap<String, Amount> {
    let today = SystemClock.now().floor_to(DAY);
    let (from, to) = (today.plus_millis(-20 * DAY), today.plus_millis(2 * DAY));
    let totals = shop.get(&format!("/v1/metrics/sales_metrics/totals?group_by=category&from={from}&to={to}")).await;
    let rows = totals["rows"].as_array().unwrap_or_else(|| panic!("{totals}"));
    let net = |row: &Value| {
        let net = row["values"]["net"].as_str().and_then(|net| net.parse().ok());
        (row["dimensions"]["category"].as_str().expect("a category").to_owned(), net.expect("an amount"))
    };
    rows.iter().map(net).collect()
}

/// The same of the lake.
async fn net_of_lines(shop: &TestShop) -> BTreeMap<String, Amount> {
    let mut by_category = BTreeMap::new();
    for row in shop.rows("silver/order_lines", &["category", "net", "late"]).await {
        if row[2] == "false" {
            *by_category.entry(row[0].clone()).or_default() += row[1].parse::<Amount>().expect("an amount");
        }
    }
    by_category
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_once_whatever_happens_to_the_lake() {
    let shop = TestShop::start().await;
    let mut random = StdRng::seed_from_u64(5);
    let mut lakes = vec![shop.lake(), shop.lake()];
    let (mut received, mut rejected) = (0, 0);
    for part in events(&mut random).chunks(40) {
        let answer = shop.post(part, None).await;
        received += part.len() as u64;
        rejected += answer["rejected_total"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        // Any await of a commit may be the last one.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..900))).await;
        let victim = random.random_range(0..lakes.len());
        lakes.swap_remove(victim).kill();
        lakes.push(shop.lake());
    }
    let changes = [
        changed("order.refunded", json!({"order_id": "o-1", "amount": "1.00"})),
        changed("order.cancelled", json!({"order_id": "o-2"})),
    ];
    received += changes.len() as u64;
    assert_eq!(shop.post(&changes, None).await["rejected_total"], 0);
    let late: Vec<Value> = (0..12).map(|number| order(&format!("late-{number}"), 12)).collect();
    shop.post(&late, None).await;
    received += late.len() as u64;
    let books = shop.balanced(received).await;
    assert_eq!(books["rejected"], rejected);

    let log = shop.log().await;
    counts("lines of bronze", log.len(), async || shop.rows("bronze/events", &["id"]).await.len()).await;
    assert!(shop.bronze().await == log, "bronze is the log, line for line");
    let rejected = usize::try_from(rejected).expect("few");
    counts("rejected bodies", rejected, async || {
        let counts = shop.rows("bronze/rejected", &["count"]).await;
        counts.iter().map(|row| row[0].parse::<usize>().expect("a number")).sum()
    })
    .await;

    let distinct = books["counted"].as_u64().zip(books["late"].as_u64()).map(|(counted, late)| counted + late);
    let distinct = usize::try_from(distinct.expect("numbers")).expect("few");
    counts("events of silver", distinct, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let silver = shop.rows("silver/events", &["source", "id", "late"]).await;
    let names: BTreeSet<&[String]> = silver.iter().map(|row| &row[..2]).collect();
    assert_eq!(names.len(), silver.len(), "none is there twice");
    let flagged = silver.iter().filter(|row| row[2] == "true").count() as u64;
    assert_eq!(Some(flagged), books["late"].as_u64());
    assert!(flagged > 0, "some are late");

    let of_suite = net_by_category(&shop).await;
    eventually("lines of orders sum to the suite's totals", DEADLINE, async || {
        (net_of_lines(&shop).await == of_suite).then_some(())
    })
    .await;
    let all: Amount = of_suite.values().copied().sum();
    eventually("orders sum to the same", DEADLINE, async || {
        let orders = shop.rows("silver/orders", &["net"]).await;
        (orders.iter().map(|row| row[0].parse::<Amount>().expect("an amount")).sum::<Amount>() == all).then_some(())
    })
    .await;
    let orders = shop.rows("silver/orders", &["order_id", "status"]).await;
    assert_eq!(orders.len(), ORDERS, "one row each");
    let changed: BTreeMap<&str, &str> =
        orders.iter().filter(|row| row[1] != "placed").map(|row| (&*row[0], &*row[1])).collect();
    assert_eq!(changed, BTreeMap::from([("o-1", "partly_refunded"), ("o-2", "cancelled")]));
    for lake in lakes {
        lake.stop().await;
    }
}
