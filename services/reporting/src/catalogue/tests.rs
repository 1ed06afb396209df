use tidemill_stage::Failure;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn older(metric: &Metric, version: &str, data_since: i64) -> Version {
    let definition = Some(Metric { version: version.into(), ..metric.clone() });
    Version { metric: metric.name.clone(), version: version.into(), definition, data_since: Some(at(data_since)) }
}

#[test]
fn a_changed_definition_takes_over_with_its_first_number() {
    let definitions = Metrics::load(None).expect("the defaults");
    let current: Metric = definitions.get("sales_metrics").expect("a default").into();
    let stored = vec![older(&current, "old", 1), older(&current, "older", 0)];
    let mut catalogue = Catalogue::new(&definitions, stored);
    let served = |catalogue: &Catalogue| catalogue.find("sales_metrics", None).expect("known").version.clone();
    assert_eq!(served(&catalogue), "old");
    assert_eq!(catalogue.find("sales_metrics", Some(&current.version)).expect("is readable"), &current);
    catalogue.data_came("sales_metrics", &current.version, at(2));
    assert_eq!(served(&catalogue), current.version);
    assert_eq!(catalogue.find("sales_metrics", Some("older")).expect("stays readable").version, "older");
    let error = catalogue.find("sales_metrics", Some("none")).expect_err("unknown").to_string();
    assert!(error.contains("older"), "{error}");
}

#[test]
fn data_without_a_definition_is_kept_and_not_served() {
    let metrics = Metrics::load(None).expect("the defaults");
    let mut catalogue = Catalogue::new(&metrics, Vec::new());
    catalogue.data_came("ghosts", "1", at(0));
    assert_eq!(catalogue.find("ghosts", None).expect_err("no definition").code().as_str(), "unknown_metric");
    assert_eq!(catalogue.served().len(), metrics.iter().count());
}
