//! How good the tables are: counted as they grow, told as events, and alerted by a rule.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::eventually;

use crate::common::{DEADLINE, TestShop};

/// Nothing is fresh by these, so that a rule has something to tell.
const ALWAYS_BEHIND: &str = "[quality]\nevery_seconds = 1\nfresh_seconds = 0\n";
const ORDERS: usize = 30;

fn order(id: usize, customer: Option<&str>) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "order.placed", "source": "till", "id": format!("o-{id}"),
        "time": SystemClock.now().to_string(), "data": {"order_id": format!("o-{id}"), "items": [
            {"product_id": "novel", "quantity": 2, "unit_price": "10.50"}]}});
    if let Some(customer) = customer {
        event["subject"] = customer.into();
    }
    event
}

fn figure(report: &Value, table: &str, measure: &str) -> Option<f64> {
    let figures = report["figures"].as_array()?;
    let found = figures.iter().find(|figure| figure["table"] == table && figure["measure"] == measure);
    found.and_then(|figure| figure["value"].as_f64())
}

/// Waits until the figures of a later interval are kept: whoever kept them may not have told them yet.
async fn measured_again(shop: &TestShop) {
    let newest = async || {
        let intervals = shop.rows("gold/quality", &["interval"]).await;
        intervals.iter().filter_map(|row| row[0].parse::<i64>().ok()).max()
    };
    let before = newest().await;
    eventually("it is measured once more", DEADLINE, async || (newest().await > before).then_some(())).await;
}

/// How far the log is in a table, by its partitions.
async fn positions(shop: &TestShop, path: &str) -> Vec<i64> {
    let table = shop.tables().existing(path).await.expect("the store answers").expect("a table");
    let mut positions = Vec::new();
    for partition in shop.bus.partitions().all() {
        let app = format!("{path}/{partition}");
        let reached = table.snapshot().expect("loaded").transaction_version(table.log_store().as_ref(), app).await;
        positions.push(reached.expect("the store answers").unwrap_or_default());
    }
    positions
}

fn of_rule<'r>(report: &'r Value, table: &str, measure: &str, rule: &str) -> Option<&'r Value> {
    let is_of = |figure: &&Value| figure["table"] == table && figure["measure"] == measure && figure["rule"] == rule;
    report["figures"].as_array()?.iter().find(is_of)
}

/// The contract of orders, with a question that has a bad answer and one that has none.
fn write_contract(folder: &Path) {
    let checks = "    quality:\n      - {name: no_orders, type: sql, query: SELECT count(*) FROM silver.orders, mustBe: 0}\n      \
                  - {name: nonsense, type: sql, query: SELECT nothing FROM silver.orders, mustBe: 0}\n";
    let contract = include_str!("../../contracts/silver.orders.yaml").replacen("    quality:\n", checks, 1);
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("orders.yaml"), contract).expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_a_contract_is_told() {
    let shop = TestShop::start().await;
    let folder = shop.folder().join("contracts");
    write_contract(&folder);
    let lake = shop.lake_with(&format!(
        "[contracts]\nfolder = {folder:?}\n[quality]\nevery_seconds = 1\nchecks_every_seconds = 1\n"
    ));
    shop.post(&[order(1, Some("c-1"))], None).await;
    let url = format!("http://{}", lake.address);
    let report: Value = eventually("questions are answered", DEADLINE, async || {
        let report: Value = shop.http.get(format!("{url}/v1/quality")).send().await.ok()?.json().await.ok()?;
        let answered = of_rule(&report, "silver.orders", "check", "no_orders").is_some_and(|one| one["value"] == 1.0);
        let of_itself = of_rule(&report, "gold.quality", "check", "unique_figure").is_some();
        let all_asked = of_rule(&report, "silver.orders", "check_unanswered", "nonsense").is_some();
        (answered && of_itself && all_asked).then_some(report)
    })
    .await;
    let told =
        |table, measure, rule| of_rule(&report, table, measure, rule).unwrap_or_else(|| panic!("{rule}: {report}"));
    let bad = told("silver.orders", "check", "no_orders");
    assert_eq!((&bad["good"], &bad["threshold"], &bad["severity"]), (&json!(false), &json!(0.0), &json!("fail")));
    let none = told("silver.orders", "check_unanswered", "nonsense");
    assert_eq!((&none["good"], &none["value"]), (&json!(false), &json!(1.0)));
    let unique = told("silver.events", "check", "unique_place");
    assert_eq!((&unique["good"], &unique["value"]), (&json!(true), &json!(0.0)));
    assert_eq!(told("gold.quality", "check", "unique_figure")["value"], 0.0);
    let held = told("silver.quarantine", "failed_rows", "readable");
    assert_eq!((&held["value"], &held["good"], &held["severity"]), (&json!(0.0), &json!(true), &json!("quarantine")));
    let warned = told("silver.events", "failed_rows", "email_valid");
    assert_eq!((&warned["value"], &warned["severity"]), (&json!(0.0), &json!("warn")));

    // They follow once the figures are kept.
    eventually("the metrics tell the same", DEADLINE, async || {
        let metrics = shop.http.get(format!("{url}/metrics")).send().await.ok()?.text().await.ok()?;
        let lines = [
            "tidemill_lake_quality_check{table=\"silver.orders\",rule=\"no_orders\",severity=\"fail\"} 1",
            "tidemill_lake_quality_unanswered_checks{table=\"silver.orders\",rule=\"nonsense\",severity=\"fail\"} 1",
            "tidemill_lake_quality_failed_rows{table=\"silver.events\",rule=\"email_valid\",severity=\"warn\"} 0",
        ];
        lines.iter().all(|line| metrics.lines().any(|told| told.starts_with(line))).then_some(())
    })
    .await;

    // What is measured has everything up to there, and may have more: an order that came in while the first
    // interval was measured is in its checks, and only the next one says how far the log was.
    let measured = eventually("it says how far the log was", DEADLINE, async || {
        let measured = positions(&shop, "gold/quality").await;
        measured.iter().any(|reached| *reached > 0).then_some(measured)
    })
    .await;
    let silver = positions(&shop, "silver/events").await;
    assert!(measured.iter().zip(&silver).all(|(measured, silver)| measured <= silver), "{measured:?} {silver:?}");
    lake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_kept_once_and_alert_once_whatever_happens_to_the_lake() {
    let shop = TestShop::start().await;
    let mut lake = shop.lake_with(ALWAYS_BEHIND);
    let mut sent = 0;
    for part in 0..4 {
        let customer = |n: usize| (!n.is_multiple_of(3)).then_some("c-1");
        let mut events: Vec<Value> = (0..ORDERS).map(|n| order(part * ORDERS + n, customer(n))).collect();
        sent += events.len();
        // Some come twice.
        events.extend(events[..5].to_vec());
        shop.post(&events, None).await;
        measured_again(&shop).await;
        lake.kill();
        lake = shop.lake_with(ALWAYS_BEHIND);
    }
    let url = format!("http://{}/v1/quality", lake.address);
    let report: Value = eventually("all of it is measured", DEADLINE, async || {
        let report: Value = shop.http.get(&url).send().await.ok()?.json().await.ok()?;
        let has = |table: &str, measure: &str, value: usize| figure(&report, table, measure) == Some(value as f64);
        let is_whole = has("silver.order_lines", "rows", sent) && has("silver.orders", "rows", sent);
        (is_whole && has("silver.events", "missing_customers", sent / 3)).then_some(report)
    })
    .await;
    assert_eq!(figure(&report, "silver.orders", "missing_customers"), Some((sent / 3) as f64));
    assert_eq!(figure(&report, "silver.events", "duplicates"), Some(0.0));
    assert_eq!(figure(&report, "silver.order_lines", "negative_amounts"), Some(0.0));
    assert_eq!(report["good"], false, "{report}");
    let one: Value =
        shop.http.get(format!("{url}?table=silver.orders")).send().await.expect("answers").json().await.expect("JSON");
    assert!(one["good"] == true && one["figures"].as_array().is_some_and(|all| !all.is_empty()), "{one}");

    // The suite has told itself how good it is, and that is no event that was sent.
    eventually("the lake's own events are in silver", DEADLINE, async || {
        let report: Value = shop.http.get(&url).send().await.ok()?.json().await.ok()?;
        let fresh = figure(&report, "silver.events", "freshness_seconds")?;
        let delay = figure(&report, "silver.events", "delay_seconds")?;
        let rows = figure(&report, "silver.events", "rows")?;
        (rows > sent as f64 && fresh > delay + 2.0).then_some(())
    })
    .await;
    let sources = shop.rows("silver/events", &["source", "type", "id"]).await;
    let own: Vec<_> = sources.iter().filter(|row| row[0] == "tidemill/lake").collect();
    let ids: BTreeSet<&String> = own.iter().map(|row| &row[2]).collect();
    assert!(own.iter().all(|row| row[1] == "lake.quality_measured"));
    assert_eq!(ids.len(), own.len(), "an interval of a table is told once");

    // The shipped rule has told of each table once, since none has been fresh in between.
    let titles = eventually("Slack hears of the tables", DEADLINE, async || {
        let titles: Vec<String> = shop.slack.messages().iter().map(|message| message.to_string()).collect();
        let about = |table: &str| titles.iter().any(|title| title.contains(&format!("{table} is behind")));
        (about("silver.events") && about("bronze.events")).then_some(titles)
    })
    .await;
    assert_eq!(shop.slack.refusals(), Vec::<String>::new());
    let of_silver = titles.iter().filter(|title| title.contains("silver.events is behind")).count();
    assert_eq!(of_silver, 1, "{titles:?}");

    let rows = shop.rows("gold/quality", &["interval", "table", "measure", "rule", "time"]).await;
    let mut kept: BTreeSet<&[String]> = BTreeSet::new();
    let again: Vec<_> = rows.iter().filter(|row| !kept.insert(&row[..4])).collect();
    assert!(again.is_empty(), "a figure of an interval is kept once: {again:?}");
    let times: BTreeSet<(&String, &String)> = rows.iter().map(|row| (&row[0], &row[4])).collect();
    let intervals: BTreeSet<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(times.len(), intervals.len(), "all of an interval is of one measurement");
    lake.stop().await;
}
