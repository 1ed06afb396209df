use tidemill_definitions::Metrics;

use super::*;

fn served() -> Vec<Metric> {
    Metrics::load(None).expect("the defaults").iter().map(Metric::from).collect()
}

fn pairs(asked: &[(&str, &str)]) -> Vec<(String, String)> {
    asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The metric to ask instead of another, for so much.
fn found(metric: &str, view: QuestionView, asked: &[(&str, &str)]) -> Option<String> {
    let metrics = served();
    let metric = metrics.iter().find(|known| known.name == metric).expect("it is served");
    let now = "2026-11-27T12:00:00Z".parse().expect("a time");
    instead(&metrics, metric, view, Zone::UTC, now, &pairs(asked)).map(|other| other.name.clone())
}

#[test]
fn days_of_a_zone_are_asked_of_what_is_most_alike_and_has_windows_for_them() {
    let (series, totals) = (QuestionView::Series, QuestionView::Totals);
    for zone in ["Europe/Berlin", "Asia/Kathmandu"] {
        let asked = [("zone", zone), ("from", "2026-11-27")];
        assert_eq!(found("daily_sales", totals, &asked).as_deref(), Some("order_metrics"), "{zone}");
        let asked = [("zone", zone), ("resolution", "day"), ("group_by", "region"), ("version", "1")];
        assert_eq!(found("daily_sales", series, &asked).as_deref(), Some("order_metrics"), "{zone}");
    }
    let hours = found("conversion", series, &[("zone", "Asia/Kathmandu"), ("resolution", "day")]);
    assert_ne!(hours.as_deref(), Some("conversion"));
}

#[test]
fn what_nothing_can_answer_is_told_of_nothing() {
    let totals = QuestionView::Totals;
    assert_eq!(found("daily_country", totals, &[("zone", "Europe/Berlin"), ("group_by", "country")]), None);
    assert_eq!(found("daily_sales", totals, &[("from", "2026-11-27T00:00:30Z")]), None, "half a minute");
}

#[test]
fn an_example_can_be_asked_as_it_stands() {
    let metrics = served();
    let other = metrics.iter().find(|known| known.name == "order_metrics").expect("it is served");
    let asked = pairs(&[("zone", "Europe/Berlin"), ("version", "x"), ("region", "Asia & \u{fc}")]);
    let told = told(other, QuestionView::Totals, &asked);
    let expected = ". Metric order_metrics has windows of 1 minute, which make it up: \
                    GET /v1/metrics/order_metrics/totals?zone=Europe/Berlin&region=Asia%20%26%20%C3%BC";
    assert_eq!(told, expected);
}
