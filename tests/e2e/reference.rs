//! `docs/reference` is what the services say of themselves: the JSON Schema of
//! each one's settings, the same as a page, and its OpenAPI document; the file
//! that `tidemill init` writes; and what messages say of themselves, which
//! `docs/asyncapi.yaml` is made of as well.
//! `TIDEMILL_UPDATE=1 cargo test -p tidemill-tests --test reference` writes it
//! anew.

mod asyncapi;
mod codes_page;
mod generated;
mod messages_page;
mod settings_page;

use std::time::Duration;

use schemars::schema_for;
use serde_json::Value;
use tidemill::shop_file::{self, ShopFile};
use tidemill_tests::TestSuite;

use generated::{same, same_json};

/// A duration of whole hours.
fn in_words(duration: Duration) -> String {
    match duration.as_secs() / 3600 {
        hours if hours > 24 && hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}

/// Words as a part of a sentence.
fn joined(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[test]
fn streams_and_codes_are_described_as_they_are() {
    let docs = tidemill_testkit::crate_folder().join("../docs");
    let reference = docs.join("reference");
    let document = asyncapi::document().expect("YAML");
    let settings = schema_for!(ShopFile).to_value();
    let stale: Vec<String> = [
        same(&docs, "asyncapi.yaml", document),
        same(&reference, "tidemill.toml", shop_file::sample(&ShopFile::default())),
        same_json(&reference, "tidemill.settings.json", &settings),
        same(&reference, "messages.md", messages_page::page()),
        same(&reference, "codes.md", codes_page::page()),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    assert!(stale.is_empty(), "docs are out of date ({stale:?}); `make reference` writes them anew");
}

#[test]
fn every_setting_that_a_remedy_names_exists() {
    let schemas: Vec<Value> = [
        schema_for!(tidemill_ingestion::Config),
        schema_for!(tidemill_enrichment::Config),
        schema_for!(tidemill_aggregation::Config),
        schema_for!(tidemill_alert::Config),
        schema_for!(tidemill_recommendation::Config),
        schema_for!(tidemill_reporting::Config),
    ]
    .map(schemars::Schema::to_value)
    .into();
    let named = codes_page::settings_named();
    assert!(named.contains(&"limits.rate_per_key"), "{named:?}");
    let unknown: Vec<_> = named
        .into_iter()
        .filter(|setting| {
            let (section, key) = setting.split_once('.').expect("a section and a key");
            !schemas.iter().any(|schema| settings_page::has(schema, section, key))
        })
        .collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_up_to_date() {
    let folder = tidemill_testkit::crate_folder().join("../docs/reference");
    let suite = TestSuite::start().await;
    let s = &suite.suite;
    let mut stale = Vec::new();
    for (service, address, settings) in [
        ("ingestion", s.ingestion, schema_for!(tidemill_ingestion::Config)),
        ("enrichment", s.enrichment, schema_for!(tidemill_enrichment::Config)),
        ("aggregation", s.aggregation, schema_for!(tidemill_aggregation::Config)),
        ("alert", s.alert, schema_for!(tidemill_alert::Config)),
        ("recommendation", s.recommendation, schema_for!(tidemill_recommendation::Config)),
        ("reporting", s.reporting, schema_for!(tidemill_reporting::Config)),
    ] {
        let answer = suite.http.get(format!("http://{address}/openapi.json")).send().await.expect("an answer");
        let openapi: Value = answer.json().await.expect("JSON");
        let settings = settings.to_value();
        stale.extend(same_json(&folder, &format!("{service}.openapi.json"), &openapi).err());
        stale.extend(same_json(&folder, &format!("{service}.settings.json"), &settings).err());
        stale.extend(same(&folder, &format!("{service}.settings.md"), settings_page::of(service, &settings)).err());
    }
    assert!(stale.is_empty(), "docs/reference is out of date ({stale:?}); `make reference` writes it anew");
    suite.stop().await;
}
