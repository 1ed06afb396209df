use super::*;

#[test]
fn the_defaults_load_and_have_versions() {
    let metrics = Metrics::load(None).expect("the defaults are right");
    let names: Vec<_> = metrics.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "conversion",
            "daily_country",
            "daily_sales",
            "order_metrics",
            "product_views",
            "recommendation_metrics",
            "recommended_sales",
            "sales_metrics",
            "recommendation_quality",
            "tidemill_check"
        ]
    );
    assert!(metrics.iter().all(|m| m.version().len() == 12));
}
