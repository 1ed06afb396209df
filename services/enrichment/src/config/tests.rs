use tidemill_service::config::parse;

use super::*;

#[test]
fn the_sample_is_valid_and_shows_the_defaults() {
    let sample: Config = parse(include_str!("../../sample.toml")).expect("parses");
    sample.validate().expect("is valid");
    assert_eq!(sample.reference.lead_seconds, ReferenceConfig::default().lead_seconds);
    assert_eq!(sample.reference.cached_entries, ReferenceConfig::default().cached_entries);
    assert_eq!(sample.duplicates.horizon_seconds, DuplicatesConfig::default().horizon_seconds);
    assert_eq!(sample.duplicates.keys_per_partition, DuplicatesConfig::default().keys_per_partition);
    assert_eq!(sample.orders.remembered_days, OrdersConfig::default().remembered_days);
    // Every section that there is, is shown.
    let schema = schemars::schema_for!(Config).to_value();
    for section in schema["properties"].as_object().expect("an object").keys() {
        assert!(include_str!("../../sample.toml").contains(&format!("[{section}]")), "[{section}] is missing");
    }
    assert!(!format!("{sample:?}").contains("change-me"), "keys stay out of logs");
}

#[test]
fn a_typing_error_is_named() {
    let error = parse::<Config>("store.url = \"sqlite:///x\"\ngeo.mmbd = \"x\"").expect_err("unknown key");
    assert!(error.to_string().contains("mmbd"), "{error}");
    let fast: Config = parse("store.url = \"sqlite:///x\"\nreference.lead_seconds = 1").expect("parses");
    assert_eq!(fast.validate(), Err("reference.lead_seconds must be longer than reference.poll_millis".into()));
}
