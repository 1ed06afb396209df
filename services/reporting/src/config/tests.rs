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

#[test]
fn totals_are_kept_for_as_long_as_streams_have_them_or_longer() {
    let text = "http.listen = '127.0.0.1:7080'\nstore.url = 'sqlite:///r'\n";
    let with = |days: u32| parse::<Config>(&format!("{text}retention.days = {days}\n")).expect("reads");
    let day = |days: i64| Timestamp::EPOCH.plus_millis(days * DAY_MILLIS);
    let now = day(1_000).plus_millis(5);
    for (days, since) in [(0, None), (8, Some(day(992))), (400, Some(day(600)))] {
        with(days).check().expect("is right");
        assert_eq!(with(days).retention.since(now), since);
    }
    let error = with(7).check().expect_err("the log has as much").to_string();
    assert!(error.contains("retention.days must be 0, or at least 8"), "{error}");
}
