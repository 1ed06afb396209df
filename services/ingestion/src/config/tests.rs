use super::*;

#[test]
fn the_defaults_are_valid() {
    Config::default().check().expect("valid");
}

#[test]
fn wrong_settings_are_named() {
    let read = |text: &str| tidemill_service::config::parse::<Config>(text).map(|config| config.check());
    let unknown = read("[limits]\nwire_byte = 3").expect_err("unknown");
    assert!(unknown.to_string().contains("wire_byte"), "{unknown}");
    for (text, rule) in [
        ("[limits]\nburst = 9999", "limits.burst must be at least limits.events_per_request"),
        ("[limits]\nbody_seconds = 61", "limits.body_seconds must be 1 to 60"),
        ("[dead_letters]\nbytes_per_minute = 500000", "dead_letters.bytes_per_minute must be at least 524288"),
        (
            "[limits]\nin_flight_bytes = 130000000",
            "limits.in_flight_bytes must hold the largest body four times, and an event 1024 times",
        ),
        ("[publish]\ndeadline_ms = 0", "publish.deadline_ms must be 1 to 20000"),
    ] {
        assert_eq!(read(text).expect(text).expect_err(text).to_string(), rule);
    }
}
