//! Reports of experiments, from the totals of what was shown and clicked.

use serde_json::{Value as Json, json};
use tidemill_definitions::Metrics;
use tidemill_events::CellUpdate;
use tidemill_totals::Measure;

use crate::shop::{MINUTE, Shop, at, update};

/// What was shown and clicked of a variant, in the quarter of an hour of this number.
fn cell(quarter: i64, experiment: &str, variant: &str, shown: u64, clicked: u64) -> CellUpdate {
    let metrics = Metrics::load(None).expect("the defaults");
    let definition = metrics.get("recommendation_metrics").expect("it is one of them");
    let value = |dimension: &String| match dimension.as_str() {
        "experiment" => experiment.to_owned(),
        "variant" => variant.to_owned(),
        _ => "home".to_owned(),
    };
    let dimensions: Vec<String> = definition.dimensions.keys().map(value).collect();
    CellUpdate {
        retracted: false,
        group: definition.cell_group(dimensions.iter().map(String::as_str)),
        start: at(quarter * 15 * MINUTE),
        end: at((quarter + 1) * 15 * MINUTE),
        totals: definition.totals([("impressions", Measure::Count(shown)), ("clicks", Measure::Count(clicked))]),
        exemplar: None,
    }
}

fn rounded(figure: &Json) -> f64 {
    (figure.as_f64().expect("a number") * 10_000.0).round() / 10_000.0
}

#[tokio::test]
async fn variants_are_compared_with_the_control() {
    let shop = Shop::open().await;
    let running = shop.report("").await;
    let cells = vec![
        cell(0, "shelf", "control", 30, 20),
        cell(1, "shelf", "control", 50, 28),
        cell(0, "shelf", "popular", 70, 56),
        cell(0, "shelf", "quiet", 10, 11),
        cell(0, "other", "control", 1_000, 1),
    ];
    shop.bus.publish(&update(0, 1, cells)).await.expect("stored");
    let is_there = |answer: &Json| answer["variants"].as_array().is_some_and(|variants| variants.len() == 3);
    let report = running.until("/v1/experiments/shelf", is_there).await;
    assert_eq!((&report["experiment"], &report["control"]), (&json!("shelf"), &json!("control")));
    let [control, popular, quiet] = [0, 1, 2].map(|place| &report["variants"][place]);
    assert_eq!((&control["impressions"], &control["clicks"]), (&json!(80), &json!(48)));
    assert_eq!((rounded(&control["click_through"]), rounded(&popular["click_through"])), (0.6, 0.8));
    assert!(rounded(&popular["interval"]["low"]) < 0.8 && rounded(&popular["interval"]["high"]) > 0.8);
    // More clicks than impressions are no share of them.
    assert_eq!((&quiet["click_through"], &quiet["interval"]), (&Json::Null, &Json::Null));
    let differences = report["differences"].as_array().expect("a list");
    assert_eq!((differences.len(), &differences[0]["variant"]), (1, &json!("popular")));
    let interval = &differences[0]["interval"];
    assert_eq!((rounded(&interval["low"]), rounded(&interval["high"])), (0.0524, 0.3339));
    assert_eq!((rounded(&differences[0]["difference"]), &differences[0]["significant"]), (0.2, &json!(true)));

    let later = at(15 * MINUTE);
    let other = running.json(&format!("/v1/experiments/shelf?control=popular&from={later}")).await;
    assert_eq!(other["variants"].as_array().map(Vec::len), Some(1), "{other}");
    assert_eq!((&other["control"], &other["differences"]), (&Json::Null, &json!([])));
    let nothing = running.json("/v1/experiments/none").await;
    assert_eq!((&nothing["variants"], &nothing["control"]), (&json!([]), &Json::Null));
    let (status, problem) = running.problem("/v1/experiments/shelf?from=yesterday&colour=red").await;
    assert_eq!(status, 400, "{problem}");
    running.stop().await;
}
