//! No service shows a secret setting: not when it is right, not when it is
//! wrong, and not by whichever way it came. The secret ones are those that the
//! services' own schemas call so.

use std::fmt::Debug;

use schemars::schema_for;
use serde_json::{Map, Value};
use tidemill_service::{
    ServiceConfig,
    config::{Secrets, parse_with},
};

const SECRET: &str = "hunter-2-is-secret";
/// What names of secret settings end with; a `url` may hold a password.
const TELLING: [&str; 7] = ["password", "token", "secret", "webhook", "keys", "credential", "url"];
/// What every service, or some, has to be given.
const GIVEN: [(&str, &str); 7] = [
    ("http.listen", "'127.0.0.1:0'"),
    ("store.url", "'sqlite:///tmp/x.db'"),
    ("metrics_store.kind", "'influxdb'"),
    ("metrics_store.url", "'http://influxdb:8086'"),
    ("metrics_store.org", "'o'"),
    ("metrics_store.bucket", "'b'"),
    ("metrics_store.token", "'t'"),
];

/// The settings without `but`, for a service with these sections.
fn given(schema: &Value, but: &[String]) -> String {
    let but = but.join(".");
    let has = |key: &str| schema["properties"].get(key.split('.').next().unwrap_or_default()).is_some();
    let lines =
        GIVEN.iter().filter(|(key, _)| has(key) && *key != but).map(|(key, value)| format!("{key} = {value}\n"));
    lines.collect()
}

fn variable(path: &[String]) -> String {
    format!("TIDEMILL_{}", path.join("__").to_uppercase())
}

fn shows_no_secret<C: ServiceConfig + Debug>(service: &str) {
    let schema = schema_for!(C).to_value();
    let secrets = Secrets::of::<C>();
    // A section that is wholly secret has its keys tried.
    let keys = || secrets.paths().filter(|path| path.len() > 1);
    let right = keys().map(|path| (variable(path), SECRET.to_owned()));
    let config: C = parse_with(&given(&schema, &[]), right).expect(service);
    assert!(!format!("{config:?}").contains(SECRET), "{service}: {config:?}");
    for path in keys() {
        let (name, rest) = (path.join("."), given(&schema, path));
        let wrong = [
            format!("{name} = {{ x = '{SECRET}' }}"),
            format!("{name} = [['{SECRET}']]"),
            format!("{name} = [5, '{SECRET}']"),
            format!("{name} = '{SECRET}"),
            format!("{name} = '{SECRET}' '{SECRET}'"),
            format!("{} = '{SECRET}'", path[0]),
        ];
        for line in wrong {
            let told = parse_with::<C>(&format!("{rest}{line}\n"), []).expect_err(&line);
            assert!(!format!("{told} {told:?}").contains(SECRET), "{service}: {told}");
        }
        let inside = (format!("{}__X", variable(path)), SECRET.to_owned());
        let no_file = (format!("{}_FILE", variable(path)), SECRET.to_owned());
        for given in [inside, no_file] {
            let told = parse_with::<C>(&rest, [given]).expect_err(&name);
            assert!(!format!("{told} {told:?}").contains(SECRET), "{service}: {told}");
        }
        // A number, which no text is.
        let told = parse_with::<C>(&format!("{rest}{name} = 90210\n"), []).expect_err(&name);
        assert!(!told.to_string().contains("90210"), "{service}: {told}");
    }
    let known: Vec<_> = keys().map(<[String]>::to_vec).collect();
    for path in settings(&schema, &schema) {
        let name = path.last().map_or("", String::as_str);
        let is_telling = TELLING.iter().any(|part| name.ends_with(part));
        assert!(
            !is_telling || known.contains(&path),
            "{service}: {} sounds like a secret, and its schema does not call it writeOnly",
            path.join(".")
        );
    }
}

/// Every setting's path: sections, and their keys.
fn settings(schema: &Value, node: &Value) -> Vec<Vec<String>> {
    let target = node["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.strip_prefix('#')?)).unwrap_or(node);
    let mut paths = Vec::new();
    for (name, property) in target["properties"].as_object().into_iter().flat_map(Map::iter) {
        paths.push(vec![name.clone()]);
        paths.extend(settings(schema, property).into_iter().map(|mut path| {
            path.insert(0, name.clone());
            path
        }));
    }
    for form in ["oneOf", "anyOf"].iter().flat_map(|forms| target[forms].as_array().into_iter().flatten()) {
        paths.extend(settings(schema, form));
    }
    paths
}

#[test]
fn no_service_shows_a_secret_setting() {
    shows_no_secret::<tidemill_ingestion::Config>("ingestion");
    shows_no_secret::<tidemill_enrichment::Config>("enrichment");
    shows_no_secret::<tidemill_aggregation::Config>("aggregation");
    shows_no_secret::<tidemill_alert::Config>("alert");
    shows_no_secret::<tidemill_recommendation::Config>("recommendation");
    shows_no_secret::<tidemill_reporting::Config>("reporting");
}
