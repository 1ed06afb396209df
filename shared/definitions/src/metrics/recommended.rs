//! Rows of what was recommended, by the built-in metrics.

use tidemill_domain::Amount;
use tidemill_events::{EnrichedEventRef, Enrichment, event::splice_enrichment};

use crate::{Contribution, Data, Metrics, RowValue};

/// Rows of an event with this type and data.
fn rows(metric: &str, kind: &str, source: &str, data: &str) -> Vec<Contribution<'static>> {
    let line =
        format!(r#"{{"id":"1","source":"{source}","type":"{kind}","time":"2026-01-01T00:00:00Z","data":{data}}}"#);
    let enrichment = Enrichment { currency: "EUR".parse().ok(), ..Enrichment::default() };
    let mut enriched = Vec::new();
    splice_enrichment(line.as_bytes(), &enrichment, &mut enriched).expect("is written");
    let event = EnrichedEventRef::read(enriched.leak()).expect("an event");
    let metrics = Metrics::load(None).expect("the defaults load");
    let metric = metrics.get(metric).expect("one of them");
    let mut rows = Vec::new();
    let enrichment = event.enriched.as_ref().expect("is enriched");
    metric.contribute(&event, enrichment, &Data::of(event.data), |row| rows.push(row));
    rows
}

fn counts(row: &Contribution<'_>) -> Vec<bool> {
    row.values.iter().map(Option::is_some).collect()
}

const SHOWN: &str = r#"{"placement":"home","items":[
    {"product_id":"a","recommendation":{"strategy":"visits","experiment":"shelf","variant":"control"}},
    {"product_id":"b","recommendation":{"strategy":"popular"}}]}"#;

#[test]
fn impressions_and_clicks_are_split_by_what_each_item_carries() {
    let shown = rows("recommendation_metrics", "recommendation.shown", "shop", SHOWN);
    // Dimensions by name: experiment, placement, strategy, variant; measures: clicks, impressions.
    assert_eq!(shown[0].dimensions, ["shelf", "home", "visits", "control"]);
    assert_eq!(shown[1].dimensions, ["Unknown", "home", "popular", "Unknown"]);
    assert!(shown.iter().all(|row| counts(row) == [false, true]), "{shown:?}");
    let clicked = rows("recommendation_metrics", "recommendation.clicked", "shop", SHOWN);
    assert!(clicked.iter().all(|row| counts(row) == [true, false]), "{clicked:?}");
}

#[test]
fn what_was_recommended_of_an_order_is_its_revenue() {
    let data = r#"{"order_id":"o","items":[
        {"product_id":"a","quantity":2,"unit_price":"12.50","recommendation":{"strategy":"visits","variant":"control"}},
        {"product_id":"b","quantity":1,"unit_price":"99.00"},
        {"product_id":"c","quantity":1,"unit_price":"5.00","recommendation":"visits"}]}"#;
    let sold = rows("recommended_sales", "order.placed", "shop", data);
    assert_eq!(sold.len(), 1, "{sold:?}");
    assert_eq!(sold[0].dimensions, ["EUR", "Unknown", "visits", "control"], "by currency too");
    let revenue = Amount::read("25.00").expect("an amount");
    let is_revenue = |value: &RowValue<'_>| matches!(value, RowValue::Money(read, _) if *read == revenue);
    assert!(sold[0].values.iter().flatten().any(is_revenue), "{sold:?}");
}

#[test]
fn only_the_service_tells_how_good_it_is() {
    let data = r#"{"partition":0,"from":1,"to":2,"cutoff":20,"cases":17,"hits":5,"reciprocal_rank":"3.016667"}"#;
    let of = |source| rows("recommendation_quality", "recommendation.evaluated", source, data);
    let amount = |text| Some(RowValue::Amount(Amount::read(text).expect(text)));
    let told = of("tidemill/recommendation");
    assert_eq!(told[0].values, [amount("17"), amount("5"), amount("3.016667")]);
    assert!(of("shop").is_empty());
}
