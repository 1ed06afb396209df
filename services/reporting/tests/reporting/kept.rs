//! Totals of old windows leave the read model, where the lake has them too.

use serde_json::{Value as Json, json};
use tidemill_domain::{GenerationName, ManualClock, Partition, Timestamp};
use tidemill_events::{
    BatchView, BatchViewEnd, CellUpdate, GenerationUpdate, MetricsUpdate, PartitionReach, WindowSpan,
};
use tidemill_testkit::{Postgres, skipped};

use crate::{
    live::Reader,
    shop::{MINUTE, Shop, at, cell, update, version},
};

const DAY: i64 = 24 * 60 * MINUTE;
const TOTALS: &str = "/v1/metrics/sales_metrics/totals";
/// Days of UTC begin ten hours before the time of the tests.
const MIDNIGHT: i64 = -10 * 60 * MINUTE;

/// A window of twenty days ago, one of the first day that is kept, and one of now.
fn cells() -> Vec<CellUpdate> {
    let minute = |millis: i64| millis / MINUTE;
    let minutes = [minute(-20 * DAY), minute(MIDNIGHT - 10 * DAY), 0];
    minutes.into_iter().zip([1, 20, 300]).map(|(at, orders)| cell(at, "Books", "EU", orders, 100)).collect()
}

/// A batch view that has all windows, up to one place in the log.
async fn tell_view(shop: &Shop, number: u64, raw_seq: u64, cells: Vec<CellUpdate>) {
    let view = BatchView { number, metric: "sales_metrics".into(), version: version(), end: None };
    let all = WindowSpan {
        from: Timestamp::saturating_from_millis(i64::MIN),
        to: Timestamp::saturating_from_millis(i64::MAX),
    };
    let end = BatchViewEnd {
        computed_at: at(0),
        since: all.from,
        reaches: vec![PartitionReach { partition: Partition::new(0), raw_seq }],
        computed: vec![all],
        cells: cells.len() as u64,
    };
    let silent = |cells| MetricsUpdate { watermark: None, idle: true, ..update(0, raw_seq, cells) };
    let parts = [(view.clone(), cells), (BatchView { end: Some(end), ..view }, Vec::new())];
    for (part, (view, cells)) in (0..).zip(parts) {
        let update = MetricsUpdate { part, ..silent(cells) };
        let message = GenerationUpdate { generation: GenerationName::batch(), inputs: None, view: Some(view), update };
        shop.bus.publish(&message).await.expect("stored");
    }
}

fn orders(answer: &Json) -> Vec<u64> {
    let rows = answer["rows"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["values"]["orders"].as_u64()).collect()
}

async fn old_totals_are_given_up_and_answers_say_so(store: impl Fn(&Shop) -> String) {
    let shop = Shop::open().await;
    let (store, clock) = (store(&shop), ManualClock::at(at(0)));
    let running = shop.replica_by(&store, "", clock.clone()).await;
    shop.bus.publish(&update(0, 5, cells())).await.expect("stored");
    running.until(TOTALS, |answer| orders(answer) == [321]).await;
    tell_view(&shop, 1, 5, cells()).await;
    let has_landed = |answer: &Json| answer["source"] == "batch" && answer["parts"]["batch"]["view"] == 1;
    let all = running.until(TOTALS, has_landed).await;
    assert_eq!((orders(&all), &all["kept_since"]), (vec![321], &Json::Null));
    running.stop().await;

    // By its next start it is known how long totals are kept.
    let since = at(MIDNIGHT - 10 * DAY);
    let running = shop.replica_by(&store, "retention.days = 10\n", clock.clone()).await;
    let kept = running.until(TOTALS, |answer| answer["kept_since"] == json!(since)).await;
    assert_eq!((orders(&kept), &kept["source"]), (vec![320], &json!("batch")));
    let metrics = running.json("/v1/metrics").await;
    let listed =
        metrics["metrics"].as_array().expect("metrics").iter().find(|metric| metric["name"] == "sales_metrics");
    assert_eq!(listed.expect("it is listed")["kept_since"], json!(since));
    // Who asks for nothing older is told of nothing older, and who asks for nothing else of nothing but that.
    let newer = running.json(&format!("{TOTALS}?from={since}")).await;
    assert_eq!((orders(&newer), &newer["kept_since"]), (vec![320], &Json::Null));
    let older = running.json(&format!("{TOTALS}?to={since}")).await;
    assert_eq!((orders(&older), &older["kept_since"]), (vec![], &json!(since)));
    let csv = running.get(&format!("{TOTALS}?format=csv")).send().await.expect("answers").text().await.expect("text");
    assert!(csv.lines().next().is_some_and(|header| header.ends_with("kept_since,approximate")), "{csv}");

    // A view that comes late, and an event that does, bring nothing back. Who looks is told of the windows that are
    // kept: of the other, nobody knows more than what came just now.
    let mut reader = Reader::open(&running, None).await;
    shop.bus.publish(&update(0, 6, cells())).await.expect("stored");
    let mut told: Vec<Json> = Vec::new();
    while told.len() < 2 {
        let seen = reader.until(|seen| seen.event == "metrics").await;
        told.extend(seen.data["points"].as_array().expect("points").iter().map(|point| point["start"].clone()));
    }
    told.sort_by_key(Json::to_string);
    assert_eq!(told, [json!(since), json!(at(0))]);
    tell_view(&shop, 2, 6, cells()).await;
    let landed = |drift: &Json| drift["metrics"][0]["view"] == 2;
    let drift = running.until("/v1/drift", landed).await;
    assert_eq!(drift["equal"], json!(true), "{drift}");
    assert_eq!(orders(&running.json(TOTALS).await), [320]);
    running.stop().await;

    // The bound is stored, and not a matter of settings.
    let running = shop.replica_by(&store, "", clock).await;
    let kept = running.json(TOTALS).await;
    assert_eq!((orders(&kept), &kept["kept_since"]), (vec![320], &json!(since)));
    running.stop().await;
}

#[tokio::test]
async fn old_totals_are_given_up_and_answers_say_so_on_sqlite() {
    old_totals_are_given_up_and_answers_say_so(Shop::sqlite).await;
}

#[tokio::test]
async fn old_totals_are_given_up_and_answers_say_so_on_postgresql() {
    let Some(postgres) = Postgres::start().await else {
        return skipped("old_totals_are_given_up_and_answers_say_so_on_postgresql", "no PostgreSQL is installed");
    };
    old_totals_are_given_up_and_answers_say_so(|_| postgres.url()).await;
}
