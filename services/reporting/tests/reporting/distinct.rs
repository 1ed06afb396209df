//! Counts of distinct values, which do not add up over everything.

use serde_json::{Value as Json, json};
use tidemill_definitions::Metrics;
use tidemill_events::{CellGroup, CellUpdate, LogPosition, MetricsUpdate, UncountedSpan, VersionCounting};
use tidemill_totals::Measure;

use crate::shop::{MINUTE, Running, Shop, at, update};

/// So many orders in a minute, in the cell of a metric with these dimensions.
fn orders(metric: &str, minute: i64, dimensions: &[(&str, &str)], orders: Measure) -> CellUpdate {
    let metrics = Metrics::load(None).expect("the defaults");
    let definition = metrics.get(metric).expect(metric);
    CellUpdate {
        retracted: false,
        group: CellGroup::new(metric, definition.version(), dimensions.iter().copied()),
        start: at(minute * MINUTE),
        end: at((minute + 1) * MINUTE),
        totals: definition.totals([("orders", orders)]),
        exemplar: None,
    }
}

fn lines(minute: i64, category: &str, region: &str, count: u64) -> CellUpdate {
    let dimensions = [("category", category), ("currency", "EUR"), ("region", region)];
    orders("sales_metrics", minute, &dimensions, Measure::DistinctKeyed(count))
}

fn placed(minute: i64, region: &str, count: u64) -> CellUpdate {
    orders("order_metrics", minute, &[("currency", "EUR"), ("region", region)], Measure::Count(count))
}

/// Two orders of books and games in one minute, one of them with toys as well; and
/// one of books a minute later.
async fn trade(shop: &Shop, running: &Running, is_total_known: bool) {
    let in_asia = [lines(0, "books", "Asia", 1), lines(0, "games", "Asia", 1), lines(0, "toys", "Asia", 1)];
    let in_europe = [lines(0, "books", "Europe", 1), lines(0, "games", "Europe", 1), lines(1, "books", "Europe", 1)];
    let totals = [placed(0, "Asia", 1), placed(0, "Europe", 1), placed(1, "Europe", 1)];
    let totals = totals.into_iter().filter(|_| is_total_known);
    let cells = in_asia.into_iter().chain(in_europe).chain(totals).collect();
    shop.bus.publish(&update(0, 1, cells)).await.expect("stored");
    let has_rows = |answer: &Json| answer["rows"].as_array().is_some_and(|rows| !rows.is_empty());
    running.until("/v1/metrics/sales_metrics/totals", has_rows).await;
}

/// Orders of an answer's rows, and what of them is approximate.
async fn told(running: &Running, question: &str) -> Json {
    let answer = running.json(&format!("/v1/metrics/sales_metrics/totals?{question}")).await;
    let rows = answer["rows"].as_array().expect("rows").iter().map(|row| row["values"]["orders"].clone());
    json!([rows.collect::<Json>(), answer["approximate"]])
}

#[tokio::test]
async fn an_order_with_lines_of_two_categories_is_one_order() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running, true).await;
    for (question, orders) in [
        ("", json!([3])),
        ("convert=true", json!([3])),
        ("group_by=region", json!([1, 2])),
        ("group_by=category", json!([3, 2, 1])),
        ("group_by=category,region", json!([1, 2, 1, 1, 1])),
        ("category=games", json!([2])),
        ("region=Asia&convert=true", json!([1])),
        ("from=2026-03-01T10:01:00Z", json!([1])),
    ] {
        assert_eq!(told(&running, question).await, json!([orders, []]), "{question}");
    }
    let few = told(&running, "category=games&category=toys").await;
    assert_eq!(few, json!([[3], ["orders"]]), "no metric has that total");

    for (resolution, orders) in [("window", json!([2, 1])), ("minute", json!([2, 1])), ("day", json!([3]))] {
        let question = format!("/v1/metrics/sales_metrics/series?resolution={resolution}");
        let answer = running.json(&question).await;
        let points = answer["series"][0]["points"].as_array().expect("points").iter();
        let points: Json = points.map(|point| point["values"]["orders"].clone()).collect();
        assert_eq!((points, &answer["approximate"]), (orders, &json!([])), "{resolution}");
    }
    running.stop().await;
}

/// The values of a column of a table, which ends with the names of what is approximate.
async fn column(running: &Running, path: &str, name: &str) -> Vec<String> {
    let text = running.get(path).send().await.expect("answers").text().await.expect("text");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    assert_eq!(header.last(), Some(&"approximate"), "{text}");
    let at = header.iter().position(|column| *column == name).expect(name);
    lines.map(|line| line[at].to_owned()).collect()
}

#[tokio::test]
async fn a_table_says_which_of_its_counts_are_approximate() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running, false).await;
    let totals = "/v1/metrics/sales_metrics/totals?format=csv";
    assert_eq!(column(&running, totals, "orders").await, ["6"], "no metric has the total yet");
    assert_eq!(column(&running, totals, "approximate").await, ["orders"]);
    shop.bus.publish(&update(0, 2, vec![placed(0, "Asia", 1), placed(0, "Europe", 2)])).await.expect("stored");
    running.until("/v1/metrics/order_metrics/totals", |answer| answer["rows"][0]["values"]["orders"] == 3).await;
    assert_eq!(column(&running, totals, "orders").await, ["3"]);
    assert_eq!(column(&running, totals, "approximate").await, [""]);
    let series = "/v1/metrics/sales_metrics/series?format=csv&resolution=day&group_by=region";
    assert_eq!(column(&running, series, "orders").await, ["1", "2"]);
    assert_eq!(column(&running, series, "approximate").await, ["", ""]);
    running.stop().await;
}

/// Definitions are changed one at a time, and what is changed begins anew.
#[tokio::test]
async fn a_total_of_other_times_is_not_taken() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running, false).await;
    let total = "/v1/metrics/order_metrics/totals?convert=true";
    shop.bus.publish(&update(0, 2, vec![placed(1, "Europe", 1)])).await.expect("stored");
    running.until(total, |answer| answer["rows"][0]["values"]["orders"] == 1).await;
    assert_eq!(told(&running, "").await, json!([[6], ["orders"]]), "it begins a minute later");

    let before = [placed(-9, "Europe", 5), placed(0, "Asia", 1), placed(0, "Europe", 1)];
    shop.bus.publish(&update(0, 3, before.into())).await.expect("stored");
    running.until(total, |answer| answer["rows"][0]["values"]["orders"] == 8).await;
    assert_eq!(told(&running, "").await, json!([[3], []]), "what was before is not in it");
    running.stop().await;
}

/// Says that a metric lacks what came in until then.
fn begun(metric: &str, raw_seq: u64, minute: i64) -> MetricsUpdate {
    let up_to = Some(LogPosition { raw_seq, ingested_at: at(minute * MINUTE) });
    let version = Metrics::load(None).expect("the defaults").get(metric).expect(metric).version().to_owned();
    let uncounted = vec![UncountedSpan { after: None, up_to }];
    let counting = vec![VersionCounting { metric: metric.into(), version, uncounted }];
    MetricsUpdate { counting, ..update(0, raw_seq, Vec::new()) }
}

#[tokio::test]
async fn a_total_of_what_the_metric_has_not_counted_is_not_taken() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running, true).await;
    let orders = async |resolution: &str| {
        let question = format!("/v1/metrics/sales_metrics/series?resolution={resolution}");
        let answer = running.json(&question).await;
        let points = answer["series"][0]["points"].as_array().expect("points").iter();
        let sum: u64 = points.map(|point| point["values"]["orders"].as_u64().expect("a count")).sum();
        json!([[sum], answer["approximate"]])
    };
    let lacks =
        |metric: &str| (format!("/v1/metrics/{metric}/totals"), |answer: &Json| answer.get("counted_from").is_some());
    shop.bus.publish(&begun("sales_metrics", 2, 1)).await.expect("stored");
    let (path, is_told) = lacks("sales_metrics");
    running.until(&path, is_told).await;
    let own = json!([[6], ["orders"]]);
    assert_eq!(
        (told(&running, "").await, orders("window").await, orders("day").await),
        (own.clone(), own.clone(), own)
    );
    assert_eq!(told(&running, "from=2026-03-01T10:01:00Z").await, json!([[1], []]), "both have all of that");

    shop.bus.publish(&begun("order_metrics", 3, 1)).await.expect("stored");
    let (path, is_told) = lacks("order_metrics");
    running.until(&path, is_told).await;
    assert_eq!(told(&running, "").await, json!([[3], []]), "both lack the same");
    running.stop().await;
}
