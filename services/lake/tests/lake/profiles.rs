//! From one profile to the next, nothing is lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemill::profile::{ProfilePart, SuiteProfile};
use tidemill_domain::{Amount, Clock, SystemClock};
use tidemill_testkit::{eventually, try_eventually};

use crate::common::{DEADLINE, TestLake, TestShop, counts};

/// Orders that each profile takes in.
const ORDERS: usize = 60;
const DAY: i64 = 86_400_000;

/// Orders of a profile: some are sent twice, and some are of days before.
fn orders(profile: SuiteProfile) -> Vec<Value> {
    let order = |number: usize| {
        let id = format!("{}-{number}", profile.name());
        let time = SystemClock.now().plus_millis(-i64::try_from(number % 3).unwrap_or_default() * DAY);
        json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": id,
            "subject": format!("c-{}", number % 7), "time": time.to_string(),
            "data": {"order_id": id, "items": [
                {"product_id": "novel", "quantity": 2, "unit_price": "10.50"},
                {"product_id": "chess", "quantity": 1, "unit_price": "0.333"}]}})
    };
    (0..ORDERS).chain(0..ORDERS / 10).map(order).collect()
}

/// What so many orders come to, by category.
fn truth(orders: usize) -> BTreeMap<String, Amount> {
    let times = |amount: &str| Amount::product([amount, &orders.to_string()]).expect("numbers").amount;
    [("Books", times("21.00")), ("Games", times("0.333"))].map(|(name, net)| (name.to_owned(), net)).into()
}

fn by_category(rows: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Amount> {
    let mut sums = BTreeMap::new();
    for (category, net) in rows {
        *sums.entry(category).or_default() += net.parse::<Amount>().expect("an amount");
    }
    sums
}

/// The live totals.
async fn live(shop: &TestShop) -> BTreeMap<String, Amount> {
    let today = SystemClock.now().floor_to(DAY);
    let (from, to) = (today.plus_millis(-20 * DAY), today.plus_millis(2 * DAY));
    let path = format!("/v1/metrics/sales_metrics/totals?group_by=category&from={from}&to={to}");
    let told = shop.get(&path).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    let rows = told["rows"].as_array().unwrap_or_else(|| panic!("{told}"));
    by_category(rows.iter().map(|row| (text(&row["dimensions"]["category"]), text(&row["values"]["net"]))))
}

/// The totals of gold.
async fn gold(shop: &TestShop) -> BTreeMap<String, Amount> {
    let rows = shop.rows("gold/sales_metrics", &["category", "net"]).await;
    by_category(rows.into_iter().map(|mut row| (row.remove(0), row.remove(0))))
}

/// None of its services waits for one that it does not have.
async fn assert_ready(shop: &TestShop) {
    let suite = &shop.suite;
    let all =
        [suite.ingestion, suite.enrichment, suite.aggregation, suite.alert, suite.recommendation, suite.reporting];
    for address in all.into_iter().filter(|address| address.port() != 0) {
        try_eventually("it is ready", DEADLINE, async || -> Result<(), String> {
            let told = shop.http.get(format!("http://{address}/readyz")).send().await.map_err(|e| e.to_string())?;
            if told.status().is_success() { Ok(()) } else { Err(told.text().await.unwrap_or_default()) }
        })
        .await;
    }
}

/// All that a profile has is as it is to be, with so many orders of all profiles so far.
async fn assert_exact(shop: &TestShop, profile: SuiteProfile, profiles: usize) {
    let (orders, sent) = (profiles * ORDERS, profiles * (ORDERS + ORDERS / 10));
    if profile.has(ProfilePart::Reporting) {
        let books = shop.balanced(sent as u64).await;
        let outcomes = ["received", "counted", "duplicate", "late"].map(|outcome| books[outcome].as_u64());
        let wanted = [sent, orders, sent - orders, 0].map(|count| Some(count as u64));
        assert_eq!(outcomes, wanted, "{profile:?}: {books}");
        eventually("live totals are exact", DEADLINE, async || (live(shop).await == truth(orders)).then_some(())).await;
    }
    if profile.has(ProfilePart::Lake) {
        let log = shop.log().await;
        assert_eq!(log.len(), sent, "{profile:?}");
        counts("lines of bronze", sent, async || shop.rows("bronze/events", &["id"]).await.len()).await;
        assert!(shop.bronze().await == log, "{profile:?}: bronze is what was sent, line for line");
        counts("rows of silver", orders, async || shop.rows("silver/events", &["id"]).await.len()).await;
        eventually("gold is exact", DEADLINE, async || (gold(shop).await == truth(orders)).then_some(())).await;
    }
}

/// A lake whose gold is computed as soon as silver has changed, where the profile has one.
fn joined(shop: &TestShop, profile: SuiteProfile) -> Option<TestLake> {
    profile.has(ProfilePart::Lake).then(|| shop.lake_with("[gold]\nevery_seconds = 1\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_profile_to_the_next_nothing_is_lost() {
    let mut shop = TestShop::start_as(SuiteProfile::ALL[0]).await;
    for (at, profile) in SuiteProfile::ALL.into_iter().enumerate() {
        if at > 0 {
            shop = shop.go_on_as(profile).await;
        }
        assert_ready(&shop).await;
        let lake = joined(&shop, profile);
        let events = orders(profile);
        let answer = shop.post(&events, None).await;
        assert_eq!(answer["accepted"].as_u64(), Some(events.len() as u64), "{answer}");
        assert_exact(&shop, profile, at + 1).await;
        if let Some(lake) = lake {
            lake.stop().await;
        }
    }
    assert!(shop.suite.stop().await, "every service drains");
}
