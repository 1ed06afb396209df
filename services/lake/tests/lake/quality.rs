//! How good the tables are: counted as they grow, told as events, and alerted by a rule.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock};
use tidemill_testkit::eventually;
use tokio::time::sleep;

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
        sleep(Duration::from_millis(1_700)).await;
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
    let kept: BTreeSet<&[String]> = rows.iter().map(|row| &row[..4]).collect();
    assert_eq!(kept.len(), rows.len(), "a figure of an interval is kept once");
    let times: BTreeSet<(&String, &String)> = rows.iter().map(|row| (&row[0], &row[4])).collect();
    let intervals: BTreeSet<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(times.len(), intervals.len(), "all of an interval is of one measurement");
    lake.stop().await;
}
