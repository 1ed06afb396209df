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
    let config = parsed("[lake.s3]\nregion = \"eu\"\naccess_key_id = \"who\"\nsecret_access_key = \"hush\"\n");
    let told = format!("{config:?}");
    assert!(told.contains("eu") && !told.contains("hush") && !told.contains("who"), "{told}");
    let options = config.lake.storage().s3.0;
    assert_eq!(options.get("secret_access_key").map(String::as_str), Some("hush"));
}
