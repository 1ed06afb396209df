//! Questions about ranges of time: what is answered is what was asked.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tidemill_definitions::Metrics;
use tidemill_domain::{Amount, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_totals::{Measure, Totals};

use crate::shop::{MINUTE, Running, Shop, update};

const DAY: i64 = 24 * 60 * MINUTE;

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// The window of `metric`, `millis` long, that holds a sale of so much.
fn sale(metric: &str, millis: i64, at: &str, amount: i64) -> CellUpdate {
    let metrics = Metrics::load(None).expect("the defaults");
    let definition = metrics.get(metric).expect(metric);
    let start = time(at).floor_to(millis);
    let dimensions = definition.dimensions.keys().map(|name| (name.clone(), "Asia Pacific".to_owned()));
    CellUpdate {
        retracted: false,
        metric: metric.into(),
        version: definition.version().to_owned(),
        start,
        end: start.plus_millis(millis),
        dimensions: dimensions.collect::<BTreeMap<_, _>>(),
        totals: Totals(vec![
            Measure::DistinctKeyed(1),
            Measure::DistinctKeyed(1),
            Measure::Sum(Amount::from_int(1)),
            Measure::Sum(Amount::from_int(amount)),
        ]),
        exemplar: None,
    }
}

/// Sales at 23:30 of a day of UTC, at noon and at 23:30 of the next: of 10, 20 and 40.
async fn trade(shop: &Shop, running: &Running) {
    let minutes = [("2026-11-26T23:30:00Z", 10), ("2026-11-27T12:00:00Z", 20), ("2026-11-27T23:30:00Z", 40)];
    let days = [("2026-11-26T23:30:00Z", 10), ("2026-11-27T12:00:00Z", 60)];
    let minutes = minutes.into_iter().map(|(at, amount)| sale("sales_metrics", MINUTE, at, amount));
    let days = days.into_iter().map(|(at, amount)| sale("daily_sales", DAY, at, amount));
    shop.bus.publish(&update(0, 1, minutes.chain(days).collect())).await.expect("stored");
    running.until("/v1/metrics/daily_sales/totals", |answer| revenue(answer) == ["70.00"]).await;
}

fn revenue(answer: &Json) -> Vec<&str> {
    answer["rows"].as_array().expect("rows").iter().filter_map(|row| row["values"]["revenue"].as_str()).collect()
}

#[tokio::test]
async fn a_range_that_no_whole_windows_make_is_refused() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    trade(&shop, &running).await;
    let day = "from=2026-11-27T00:00:00%2B01:00&to=2026-11-28T00:00:00%2B01:00";
    let answer = running.json(&format!("/v1/metrics/sales_metrics/totals?{day}")).await;
    assert_eq!(revenue(&answer), ["30.00"]);
    for path in ["totals?", "series?", "totals?format=csv&", "series?format=csv&"] {
        let (status, problem) = running.problem(&format!("/v1/metrics/daily_sales/{path}{day}")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("unaligned_range")), "{path}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z"), "{detail}");
        assert_eq!(problem["errors"][0]["pointer"], "/from");
    }
    let whole = "/v1/metrics/daily_sales/totals?from=2026-11-27T00:00:00Z&to=2026-11-28T00:00:00Z";
    assert_eq!(revenue(&running.json(whole).await), ["60.00"]);
    let (status, problem) = running.problem("/v1/books?hours=true&from=2026-11-27T10:30:00Z").await;
    assert_eq!((status, &problem["code"]), (422, &json!("unaligned_range")));
    running.stop().await;
}

#[tokio::test]
async fn no_route_lets_an_unknown_parameter_pass() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let api = running.json("/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in api["paths"].as_object().expect("paths") {
        let path = path.replace("{name}", "sales_metrics").replace("{sequence}", "1");
        let path = path.replace("{request}", &uuid::Uuid::nil().to_string());
        for method in methods.as_object().expect("methods").keys() {
            let method: reqwest::Method = method.to_uppercase().parse().expect("a method");
            let address = format!("http://{}{path}?nonsense=1", running.address);
            let answer = running.client.request(method.clone(), address).send().await.expect("answers");
            assert_eq!(answer.status(), 400, "{method} {path}");
            let problem: Json = answer.json().await.expect("JSON");
            assert_eq!(problem["code"], "invalid_parameter", "{method} {path}");
            assert_eq!(problem["errors"][0]["pointer"], "/nonsense", "{method} {path}");
            asked += 1;
        }
    }
    assert_eq!(asked, 15);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_unknown_and_not_settled() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let none = uuid::Uuid::nil();
    let (status, problem) = running.problem(&format!("/v1/dead-letters/orders/{none}")).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_order")));
    for (path, code) in [
        ("/v1/metrics/none/totals?", "unknown_metric"),
        ("/v1/metrics/sales_metrics/series?version=none&", "unknown_version"),
    ] {
        let (status, problem) = running.problem(&format!("{path}from=now&format=xml&format=csv&colour=red")).await;
        assert_eq!((status, &problem["code"]), (404, &json!(code)));
        let errors = problem["errors"].as_array().expect("errors").iter();
        let pointers: Vec<_> = errors.map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, ["/from", "/format"], "all that can be told without the metric");
    }
    running.stop().await;
}
