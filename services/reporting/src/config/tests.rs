use tidemill_service::config::parse;

use super::*;

#[test]
fn two_settings_are_enough() {
    let config: Config = parse("http.listen = '127.0.0.1:7080'\nstore.url = 'sqlite:///tmp/r.db'\n").expect("reads");
    assert_eq!((config.limits.points, config.live.clients), (50_000, 256));
    config.check().expect("the defaults are right");
}

#[test]
fn unknown_settings_are_named() {
    let text = "http.listen = '127.0.0.1:7080'\nstore.url = 'sqlite:///r'\nlive.client = 3\n";
    let error = parse::<Config>(text).expect_err("client is not clients").to_string();
    assert!(error.contains("client"), "{error}");
}

#[test]
fn the_shops_zone_is_a_setting() {
    let text = "http.listen = '127.0.0.1:7080'\nstore.url = 'sqlite:///r'\n";
    assert_eq!(parse::<Config>(text).expect("reads").calendar.zone, Zone::UTC);
    let with = |zone: &str| parse::<Config>(&format!("{text}calendar.zone = '{zone}'\n"));
    assert_eq!(with("Europe/Berlin").expect("reads").calendar.zone.to_string(), "Europe/Berlin");
    let error = with("Europe/Atlantis").expect_err("no such place").to_string();
    assert!(error.contains("IANA"), "{error}");
}
