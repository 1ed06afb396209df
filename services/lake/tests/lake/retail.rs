use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
};

use serde_json::Value;
use tidemill::{
    client::{Client, Keys},
    import::online_retail::{self, Sending},
};
use tidemill_domain::Amount;
use tidemill_testkit::{crate_folder, skipped_even_in_ci};

use crate::common::{TestShop, counts};

/// Lines of the data set that are sent.
const LINES: usize = 50_000;

/// The first lines of the data set as a file of its own.
fn part_of(data: &Path, part: &Path) {
    let file = File::open(data).expect("the data set");
    let lines = BufReader::new(zstd::Decoder::new(file).expect("zstd")).lines();
    let mut out = File::create(part).expect("a file");
    for line in lines.take(LINES + 1) {
        writeln!(out, "{}", line.expect("a line")).expect("writes");
    }
}

/// The sum of a column of what the suite says of each day and country.
fn told(file: &Path, column: &str) -> Amount {
    let mut reader = csv::Reader::from_path(file).expect("a CSV file");
    let at = reader.headers().expect("a header").iter().position(|name| name == column).expect("the column");
    reader.records().map(|record| record.expect("a record")[at].parse::<Amount>().expect("an amount")).sum()
}

/// What a line of an invoice comes to.
fn net_of(data: &str) -> Amount {
    let data: Value = serde_json::from_str(data).expect("JSON");
    let factor = |name: &str| data[name].as_str().map_or_else(|| data[name].to_string(), str::to_owned);
    let (quantity, price) = (factor("quantity"), factor("unit_price"));
    Amount::product([&*quantity, &*price]).expect("numbers").amount
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_shop_is_in_the_lake_to_the_last_digit() {
    let data = crate_folder().join("../../../shared/data/online-retail/online_retail.csv.zst");
    if !data.is_file() {
        return skipped_even_in_ci("a_real_shop_is_in_the_lake", "the data set is not beside this checkout");
    }
    let shop = TestShop::start().await;
    let lake = shop.lake();
    let (part, out) = (shop.folder().join("part.csv"), shop.folder().join("out"));
    part_of(&data, &part);
    let url = |address| format!("http://{address}").parse().expect("a URL");
    let client = Client::new(url(shop.suite.ingestion), url(shop.suite.reporting), Keys::default());
    let sending = Sending { batch: 1_000, senders: 4, shuffle: Some(3) };
    let summary = online_retail::import(&part, &out, &client, sending).await.expect("imports");
    assert_eq!((summary.counted, summary.late), (LINES as u64, 0));

    let log = shop.log().await;
    counts("lines of bronze", log.len(), async || shop.rows("bronze/events", &["id"]).await.len()).await;
    assert!(shop.bronze().await == log, "bronze is what was sent, line for line");
    counts("events of silver", LINES, async || shop.rows("silver/events", &["id"]).await.len()).await;
    let net: Amount = shop.rows("silver/events", &["data"]).await.iter().map(|row| net_of(&row[0])).sum();
    assert_eq!(net, told(&out.join("daily_country.csv"), "net"), "to the last digit");
    lake.stop().await;
}
