//! The data set, replayed: its partitions at very different speeds, by one definition that
//! is another and one category that was corrected. Each cell is as it is to be, and no more.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tidemill_domain::Amount;
use tidemill_events::ReferenceMode;
use tidemill_testkit::tempdir;
use tidemill_tests::{
    TestSuite, generations,
    generations::{begin, catch_up, compared, metric},
    now,
};

/// The product that is sold most often, and what it was counted under.
const PRODUCT: &str = "85123A";
const BEFORE: &str = "Hearts";
const AFTER: &str = "Holders";

const BY_CATEGORY: &str = "name: daily_category\ntypes: [invoice.line]\nwindow: {tumbling: 1d}\n\
    dimensions: {category: category}\nmeasures:\n  lines: {count: rows}\n  quantity: {sum: data.quantity}\n";
const QUANTITY: &str = "name: daily_quantity\ntypes: [invoice.line]\nwindow: {tumbling: 1d}\n\
    dimensions: {country: data.country}\nmeasures:\n  lines: {count: rows}\n  quantity: {sum: data.quantity}\n";
/// What was sent back is not taken off any more.
const CHANGE: (&str, &str) = ("sum: data.quantity}", "sum: data.quantity, where: \"data.quantity > 0\"}");

/// The built-in metrics and two more, in a folder.
pub(super) fn metrics(folder: &Path) -> PathBuf {
    let built_in = tidemill_definitions::Metrics::built_in().iter().copied();
    for (file, text) in built_in.chain([("category.yaml", BY_CATEGORY), ("quantity.yaml", QUANTITY)]) {
        std::fs::write(folder.join(file), text).expect("writes");
    }
    folder.to_owned()
}

/// Reference data in which the product has a category.
pub(super) fn products(folder: &Path) -> PathBuf {
    let file = folder.join("products.yaml");
    std::fs::write(&file, format!("products:\n  - {{id: {PRODUCT}, category: {BEFORE}}}\n")).expect("writes");
    file
}

/// What the file says: by day, the product's lines and quantity; by day and country, what
/// was sent back.
#[derive(Default)]
struct FileTruth {
    product: BTreeMap<String, (u64, Amount)>,
    sent_back: BTreeMap<(String, String), Amount>,
}

fn truth(file: &Path) -> FileTruth {
    let text = zstd::Decoder::new(std::fs::File::open(file).expect("the data set")).expect("zstd");
    let mut truth = FileTruth::default();
    for record in csv::Reader::from_reader(text).records() {
        let record = record.expect("a line");
        let day = record[4].split(' ').next().unwrap_or_default().to_owned();
        let quantity: Amount = record[3].parse().expect("a number");
        if record[1].trim() == PRODUCT {
            let of_day = truth.product.entry(day.clone()).or_default();
            *of_day = (of_day.0 + 1, [of_day.1, quantity].into_iter().sum());
        }
        if quantity < Amount::ZERO {
            let of = truth.sent_back.entry((day, record[7].trim().to_owned())).or_default();
            *of = [*of, quantity].into_iter().sum();
        }
    }
    truth
}

fn day(cell: &Value) -> String {
    cell["start"].as_str().and_then(|start| start.split('T').next()).unwrap_or_default().to_owned()
}

fn count(of: &Value, kind: &str) -> usize {
    of[kind].as_u64().and_then(|count| usize::try_from(count).ok()).expect("a count")
}

/// Replays the log beside the suite, in which there are so many cells by day and country.
pub(super) async fn replay(suite: &TestSuite, file: &Path, cells: usize) {
    let url = format!("http://{}/v1/reference/products/{PRODUCT}", suite.suite.enrichment);
    let put = suite.http.put(url).json(&json!({"category": AFTER})).send().await.expect("enrichment answers");
    assert!(put.status().is_success(), "{:?}", put.text().await);
    let folder = tempdir();
    metrics(folder.path());
    std::fs::write(folder.path().join("quantity.yaml"), QUANTITY.replace(CHANGE.0, CHANGE.1)).expect("writes");
    let reference = ReferenceMode::Now { at: now().plus_millis(3000) };
    let running = begin(suite, &generations::request("v2", Some(folder.path()), reference), None).await;
    // A year of one partition before the first day of the others: what is late is decided
    // within a partition, so that none of it is.
    let all = running.partitions();
    drop(running);
    for some in [&all[3..4], &all[5..], &all[..]] {
        catch_up(&generations::open(suite, "v2", None).await, some).await;
    }
    let told = compared(suite, "v2").await;
    let truth = truth(file);
    let same = metric(&told, "daily_country");
    assert_eq!((count(same, "equal"), &same["reasons"]), (cells, &json!([])), "cell for cell: {same:#}");
    for other in told["metrics"].as_array().expect("metrics") {
        if !["daily_category", "daily_quantity"].iter().any(|name| other["metric"] == *name) {
            assert_eq!(other["cells"], json!([]), "{other:#}");
        }
    }
    assert_category(metric(&told, "daily_category"), &truth);
    assert_quantity(metric(&told, "daily_quantity"), &truth);
}

/// The cells of the product have moved, and all of them are named.
fn assert_category(of: &Value, truth: &FileTruth) {
    assert_eq!(of["reasons"], json!(["reference_data"]), "{of:#}");
    let days = truth.product.len();
    assert_eq!([count(of, "changed"), count(of, "only_live"), count(of, "only_generation")], [0, days, days]);
    for cell in of["cells"].as_array().expect("cells") {
        let (category, side) = if cell["kind"] == "only_live" { (BEFORE, "live") } else { (AFTER, "generation") };
        assert_eq!(cell["dimensions"]["category"], category, "{cell:#}");
        let (lines, quantity) = truth.product[&day(cell)];
        let told = &cell[side];
        assert_eq!((&told["lines"], &told["quantity"]), (&json!(lines), &json!(quantity.to_string())), "{cell:#}");
    }
}

/// The days and countries with something sent back are named, with how much that was.
fn assert_quantity(of: &Value, truth: &FileTruth) {
    assert_eq!(of["reasons"], json!(["definition", "reference_data"]), "{of:#}");
    assert_eq!([count(of, "only_live"), count(of, "only_generation")], [0, 0]);
    assert_eq!(count(of, "changed"), truth.sent_back.len());
    for cell in of["cells"].as_array().expect("cells") {
        let country = cell["dimensions"]["country"].as_str().unwrap_or_default().to_owned();
        let sent_back = truth.sent_back[&(day(cell), country)];
        assert_eq!(cell["difference"], json!({"quantity": (-sent_back).to_string()}), "{cell:#}");
    }
}
