use super::*;

const SMALLEST: &str = "[http]\nlisten = \"127.0.0.1:7074\"\n[store]\nurl = \"sqlite:///tmp/recommendation.db\"\n";

#[test]
fn the_smallest_configuration_is_enough_and_checks_out() {
    let config: Config = tidemill_service::config::parse(SMALLEST).expect("parses");
    config.check().expect("checks out");
}

#[test]
fn what_cannot_work_is_refused() {
    let config: Config =
        tidemill_service::config::parse(&format!("{SMALLEST}[index]\nneighbours = 0\n")).expect("parses");
    assert!(config.check().expect_err("too few").to_string().starts_with("index.neighbours must be"));
    let config: Config = tidemill_service::config::parse(&format!("{SMALLEST}[kept]\nitems = 999\n")).expect("parses");
    assert_eq!(config.check().expect_err("too few").to_string(), "kept.items must be 1000 at least");
    for (setting, told) in [("share = 1.5", "measure.share"), ("interval_seconds = 86401", "measure.interval_seconds")]
    {
        let config: Config =
            tidemill_service::config::parse(&format!("{SMALLEST}[measure]\n{setting}\n")).expect("parses");
        assert!(config.check().expect_err(setting).to_string().starts_with(told));
    }
    for wrong in ["[index]\nmemory = 1", "[kept]\ndays = 0", "[rules]\nfolder = \"x\""] {
        let refused = tidemill_service::config::parse::<Config>(&format!("{SMALLEST}{wrong}\n"));
        assert!(refused.is_err(), "{wrong}");
    }
}
