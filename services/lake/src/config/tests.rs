use super::*;

fn parsed(more: &str) -> Config {
    let toml = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:///tmp/x.db\"\n[lake]\nurl = \"/tmp/lake\"\n{more}"
    );
    tidemill_service::config::parse(&toml).expect("it parses")
}

#[test]
fn nothing_may_be_zero() {
    assert!(parsed("").check().is_ok());
    for wrong in ["buffer_megabytes = 0", "retention_hours = 0", "[bronze]\nevery_seconds = 0"] {
        assert!(parsed(wrong).check().is_err(), "{wrong}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let config = parsed("[lake.s3]\nregion = \"eu\"\naccess_key_id = \"AKIA1\"\nsecret_access_key = \"hush\"\n");
    let told = format!("{config:?}");
    assert!(told.contains("eu") && !told.contains("hush") && !told.contains("AKIA1"), "{told}");
    let options = config.lake.storage().s3.0;
    assert_eq!(options.get("secret_access_key").map(String::as_str), Some("hush"));
}

#[test]
fn a_catalogue_has_an_address_and_a_key_that_is_not_printed() {
    let config = parsed("[openlineage]\nurl = \"http://marquez:5000/api/v1/lineage\"\nkey = \"hush\"\n");
    assert!(config.check().is_ok());
    assert_eq!(config.openlineage.bearer(), Some("hush"));
    assert!(!format!("{config:?}").contains("hush"));
    assert_eq!(parsed("[openlineage]\nurl = \"\"\n").openlineage.address(), None);
    for wrong in ["url = \"marquez:5000\"", "namespace = \" \"", "timeout_seconds = 0"] {
        assert!(parsed(&format!("[openlineage]\n{wrong}\n")).check().is_err(), "{wrong}");
    }
}

#[test]
fn what_the_log_has_is_not_dropped_and_not_moved() {
    assert!(parsed("[retention]\nbronze_days = 8\nsilver_days = 730\n").check().is_ok());
    let error = parsed("[retention]\nsilver_days = 7\n").check().expect_err("the log keeps as much").to_string();
    assert!(error.contains("retention.silver_days must be 0, or at least 8"), "{error}");
    assert!(parsed("[lake.cold]\nurl = \"/tmp/cold\"\ndays = 7\n").check().is_err());
}

#[test]
fn another_place_is_reached_as_the_first_one_if_nothing_else_is_said() {
    assert!(parsed("").lake.cold_storage().is_none());
    let own = "[lake.s3]\nregion = \"eu\"\n[lake.cold]\nurl = \"s3://cold/x\"\n";
    let region = |toml: &str| parsed(toml).lake.cold_storage().and_then(|storage| storage.s3.0.get("region").cloned());
    assert_eq!(region(own).as_deref(), Some("eu"));
    assert_eq!(region(&format!("{own}[lake.cold.s3]\nregion = \"us\"\n")).as_deref(), Some("us"));
}
