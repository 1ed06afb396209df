use super::*;

const SMALLEST: &str = "[http]\nlisten = \"127.0.0.1:7073\"\n[store]\nurl = \"sqlite:///tmp/alert.db\"\n";

#[test]
fn the_smallest_configuration_is_enough_and_checks_out() {
    let config: Config = tidemill_service::config::parse(SMALLEST).expect("parses");
    config.check().expect("checks out");
    assert_eq!(config.slack.webhook(), None);
}

#[test]
fn the_webhook_is_never_shown_and_an_empty_one_is_none() {
    let text = format!("{SMALLEST}[slack]\nwebhook_url = \"https://hooks.slack.com/services/T/B/x\"\n");
    let config: Config = tidemill_service::config::parse(&text).expect("parses");
    assert!(!format!("{config:?}").contains("hooks.slack.com"));
    assert!(!serde_json::to_string(&config).expect("serialises").contains("hooks.slack.com"));
    let empty: Config =
        tidemill_service::config::parse(&format!("{SMALLEST}[slack]\nwebhook_url = \"\"\n")).expect("parses");
    assert_eq!(empty.slack.webhook(), None);
}

#[test]
fn what_cannot_work_is_refused() {
    for (wrong, told) in [
        ("[slack]\nwebhook_url = \"hooks.slack.com\"", "slack.webhook_url must begin with"),
        ("[slack]\nmessages_per_minute = 0", "slack.messages_per_minute must be at least 1"),
        ("[links]\njaeger = \"jaeger:1\"", "links.jaeger must begin with"),
    ] {
        let config: Config = tidemill_service::config::parse(&format!("{SMALLEST}{wrong}\n")).expect(wrong);
        let error = config.check().expect_err(wrong).to_string();
        assert!(error.starts_with(told), "{error}");
    }
    let unknown = tidemill_service::config::parse::<Config>(&format!("{SMALLEST}[slack]\nwebhook = 1\n"));
    let error = unknown.expect_err("no such setting").to_string();
    assert!(error.contains("slack") && error.contains("webhook"), "{error}");
}
