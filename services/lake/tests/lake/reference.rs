//! What `docs/reference` says of the lake. Here, since tests of the whole suite do
//! not link what the lake brings along.

use schemars::schema_for;
use serde_json::Value;
use tidemill_lake::Config;
use tidemill_testkit::crate_folder;

use crate::{
    common::TestShop,
    generated::{same, same_json},
    settings_page, tables_page,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_up_to_date() {
    let folder = crate_folder().join("../../docs/reference");
    let shop = TestShop::start().await;
    let lake = shop.lake();
    let answer = shop.http.get(format!("http://{}/openapi.json", lake.address)).send().await.expect("an answer");
    let openapi: Value = answer.json().await.expect("JSON");
    let settings = schema_for!(Config).to_value();
    assert!(settings_page::has(&settings, "lake", "url"));
    let stale: Vec<String> = [
        same_json(&folder, "lake.openapi.json", &openapi),
        same_json(&folder, "lake.settings.json", &settings),
        same(&folder, "lake-tables.md", tables_page::page()),
        same(&folder, "lake.settings.md", settings_page::of("lake", &settings)),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    assert!(stale.is_empty(), "docs/reference is out of date ({stale:?}); `make reference` writes it anew");
    lake.stop().await;
}
