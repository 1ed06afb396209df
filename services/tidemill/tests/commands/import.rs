//! `tidemill import` into a suite that runs.

use serde_json::{Value, json};
use tidemill::suite::{Options, Suite};
use tidemill_testkit::tempdir;

use crate::terminal::Terminal;

const LINES: &str = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n\
    489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n\
    489435,22350,BOWL,2,2009-12-02 07:46:00,2.55,13085.0,United Kingdom\n";

/// The lines of a British shop are in pounds, also where the suite's currency is
/// another one; without a rate nothing is converted.
#[tokio::test(flavor = "multi_thread")]
async fn pounds_stay_pounds() {
    tidemill_service::install_crypto();
    let folder = tempdir();
    let suite = Suite::start(&Options { folder: folder.path().join("data"), ..Options::default() }).await;
    let suite = suite.expect("starts");
    let (file, out) = (folder.path().join("lines.csv"), folder.path().join("out"));
    std::fs::write(&file, LINES).expect("writes");
    let [file, out] = [&file, &out].map(|path| path.to_str().expect("text"));
    let (ingestion, reporting) = (format!("http://{}", suite.ingestion), format!("http://{}", suite.reporting));
    let terminal = Terminal { url: String::new() };
    let import = ["import", "online-retail", file, "--out", out, "--ingestion-url", &ingestion];
    let swapped = [&import[..6], &[&reporting, "--reporting-url", &reporting]].concat();
    let (code, told) = terminal.says(&swapped).await;
    assert!(code == Some(1) && told.contains("and not ingestion"), "{told}");
    let (code, told) = Terminal { url: reporting.clone() }.json(&import, None).await;
    assert_eq!((code, &told["sent"], &told["counted"]), (Some(0), &json!(2), &json!(2)), "{told}");
    let daily = std::fs::read_to_string(format!("{out}/daily_country.csv")).expect("a table");
    let line = daily.lines().find(|line| line.starts_with("2009-12-01,United Kingdom,1,1,1,12"));
    assert!(line.is_some_and(|line| line.ends_with(",83.40,83.40")), "{daily}");

    let totals = reqwest::get(format!("{reporting}/v1/metrics/daily_country/totals")).await.expect("answers");
    let totals: Value = totals.json().await.expect("JSON");
    let row = &totals["rows"][0];
    assert_eq!(totals["rows"].as_array().map(Vec::len), Some(1), "{totals}");
    assert_eq!((&row["dimensions"]["currency"], &row["values"]["net"]), (&json!("GBP"), &json!("88.50")), "{totals}");
    assert_eq!((&row["converted"]["net"], &row["unconverted"]["net"]), (&Value::Null, &json!(2)), "{totals}");
    assert_eq!(totals["base_currency"], Value::Null, "{totals}");
    assert!(suite.stop().await, "it drains");
}
