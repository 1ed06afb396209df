use std::io::Write;

use serde_json::json;

use super::*;

const HUNTER: &str = "hunter-2-is-secret";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    nats: tidemill_bus::Config,
    #[serde(default)]
    auth: Auth,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Auth {
    #[schemars(extend("writeOnly" = true))]
    keys: Vec<String>,
    comment: Option<String>,
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(Figment::new(), variables)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("writes");
    file
}

#[test]
fn the_schema_says_what_is_secret() {
    let paths: Vec<String> = Secrets::of::<Settings>().paths().map(|path| path.join(".")).collect();
    assert_eq!(paths, ["auth.keys", "nats.password", "nats.url"]);
}

#[test]
fn a_secret_is_a_text_whatever_it_looks_like() {
    for password in ["12345", "0123", "true", "{a=1}", "1.50", "a\"b", ""] {
        let settings = from_environment(&[("TIDEMILL_NATS__PASSWORD", password)]).expect(password);
        assert_eq!(settings.nats.password.as_deref(), Some(password));
    }
    let keys = from_environment(&[("TIDEMILL_AUTH__KEYS", "[\"a\", \"b\"]")]).expect("a list").auth.keys;
    assert_eq!(keys, ["a", "b"]);
    let other =
        from_environment(&[("TIDEMILL_NATS__REPLICAS", "3"), ("tidemill_nats__partitions", "16")]).expect("reads");
    assert_eq!((other.nats.replicas, other.nats.partitions), (3, 16));
}

#[test]
fn a_variable_may_name_a_file() {
    let (password, replicas) = (file("[\"0123\"]\r\n"), file("3"));
    let name = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let settings = from_environment(&[
        ("TIDEMILL_NATS__PASSWORD_FILE", &name(&password)),
        ("TIDEMILL_NATS__REPLICAS_FILE", &name(&replicas)),
    ])
    .expect("reads");
    assert_eq!((settings.nats.password.as_deref(), settings.nats.replicas), (Some("[\"0123\"]"), 3));
    let twice = [("TIDEMILL_NATS__PASSWORD", HUNTER), ("TIDEMILL_NATS__PASSWORD_FILE", &name(&password))];
    let error = from_environment(&twice).expect_err("given twice").to_string();
    assert!(error.contains("TIDEMILL_NATS__PASSWORD_FILE") && !error.contains(HUNTER), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_variable() {
    // As if the password itself was given.
    let error = from_environment(&[("TIDEMILL_NATS__PASSWORD_FILE", HUNTER)]).expect_err("no file").to_string();
    assert!(error.contains("TIDEMILL_NATS__PASSWORD_FILE") && !error.contains(HUNTER), "{error}");
}

#[test]
fn no_error_shows_a_secret() {
    let quoted = json!(HUNTER).to_string();
    for toml in [
        format!("nats.password = [{quoted}]"),
        format!("nats.password = {{ x = {quoted} }}"),
        format!("nats.url = [{quoted}]"),
        format!("nats = {quoted}"),
        format!("auth.keys = {quoted}"),
        format!("auth = [{quoted}]"),
        format!("nats.password = \"{HUNTER}"),
        format!("nats.password = {HUNTER}"),
        format!("nats.password = {quoted}\nnats.password = {quoted}"),
        format!("[nats]\npassword = {quoted}\nx"),
    ] {
        let error = parse::<Settings>(&toml).expect_err(&toml);
        assert!(!format!("{error} {error:?}").contains(HUNTER), "{error}");
        assert!(
            error.to_string().contains("nats")
                || error.to_string().contains("auth")
                || error.to_string().contains("line"),
            "{error}"
        );
    }
    for name in ["TIDEMILL_AUTH__KEYS", "TIDEMILL_NATS__PASSWORD__X", "TIDEMILL_NATS__URL__X"] {
        let error = from_environment(&[(name, HUNTER)]).expect_err(name);
        assert!(!format!("{error} {error:?}").contains(HUNTER), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let number = parse::<Settings>("nats.password = 98765").expect_err("a number").to_string();
    assert!(!number.contains("98765") && number.contains("nats.password"), "{number}");
}

#[test]
fn what_is_not_secret_is_shown() {
    let error = parse::<Settings>("auth.comment = 5").expect_err("a number").to_string();
    assert!(error.contains("5") && error.contains("auth.comment"), "{error}");
    let error = from_environment(&[("TIDEMILL_NATS__REPLICA", "3")]).expect_err("unknown").to_string();
    assert!(error.contains("replica") && error.contains("TIDEMILL_NATS__REPLICA"), "{error}");
}
