//! Totals are rolled up in the background, and nobody sees a difference.

use serde_json::{Value as Json, json};
use tidemill_domain::ManualClock;
use tidemill_testkit::try_eventually;

use crate::shop::{DEADLINE, MINUTE, Running, Shop, at, cell, update};

const HOUR: i64 = 60 * MINUTE;
const QUESTIONS: [&str; 3] = [
    "/v1/metrics/sales_metrics/totals?group_by=category,region",
    "/v1/metrics/sales_metrics/series?resolution=day&zone=Europe/Berlin",
    "/v1/metrics/sales_metrics/series?resolution=hour&zone=Asia/Kolkata",
];

/// A number that the service tells of itself.
async fn figure(running: &Running, name: &str) -> Option<u64> {
    let text = running.get("/metrics").send().await.expect("metrics").text().await.expect("text");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until everything is rolled up, by a clock that goes fast.
async fn rolled_up(running: &Running, clock: &ManualClock, at_least: u64) {
    try_eventually("all is rolled up", DEADLINE, async || {
        clock.advance(2 * MINUTE);
        let made = figure(running, "tidemill_reporting_rollups_total ").await;
        let waiting = figure(running, "tidemill_reporting_rollups_waiting ").await;
        if made >= Some(at_least) && waiting == Some(0) { Ok(()) } else { Err((made, waiting)) }
    })
    .await;
}

/// What is answered, but for how far it is true.
async fn answers(running: &Running) -> Vec<Json> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let answer = running.json(question).await;
        answers.push(json!([answer["rows"], answer["series"], answer["approximate"], answer["resolution"]]));
    }
    answers
}

#[tokio::test]
async fn answers_stay_as_they_were_when_totals_are_rolled_up() {
    let shop = Shop::open().await;
    let clock = ManualClock::at(at(HOUR));
    let running = shop.report_by(clock.clone()).await;
    let cells = (0..90).map(|minute| cell(minute, "books", if minute % 2 == 0 { "EU" } else { "US" }, 1, 100));
    shop.bus.publish(&update(0, 1, cells.collect())).await.expect("stored");
    shop.bus.publish(&update(1, 2, vec![cell(0, "books", "EU", 1, 5)])).await.expect("stored");
    let sold = |answer: &Json| answer["rows"].as_array().is_some_and(|rows| rows.len() == 2);
    running.until("/v1/metrics/sales_metrics/totals?group_by=region", sold).await;
    let both = |answer: &Json| answer["rows"][0]["values"]["revenue"] == "90.05";
    running.until("/v1/metrics/sales_metrics/totals", both).await;
    let before = answers(&running).await;
    // Two hours and their day.
    rolled_up(&running, &clock, 3).await;
    assert_eq!(answers(&running).await, before);

    let correction = vec![cell(7, "books", "US", 1, 250)];
    shop.bus.publish(&update(0, 3, correction)).await.expect("stored");
    let corrected = |answer: &Json| answer["rows"][0]["values"]["revenue"] == "91.55";
    running.until("/v1/metrics/sales_metrics/totals", corrected).await;
    let before = answers(&running).await;
    rolled_up(&running, &clock, 5).await;
    assert_eq!(answers(&running).await, before);
    running.stop().await;
}
