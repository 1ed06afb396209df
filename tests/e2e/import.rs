//! A real data set, through HTTP, equals its published truth to the last digit, and so does
//! its replay.

mod replayed_retail;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use tidemill::{
    client::ClientError,
    import::online_retail::{self, Sending},
    suite::DefinitionFiles,
};
use tidemill_domain::Amount;
use tidemill_testkit::{skipped_even_in_ci, tempdir};
use tidemill_tests::{TestSuite, order, shared_data};

const LINES: u64 = 541_909;

/// A row's exact values: lines, invoices, customers, quantity, net, sales.
type Row = [Amount; 6];

fn rows(path: &Path, key: [&str; 2], columns: [&str; 6]) -> BTreeMap<(String, String), Row> {
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    let header = reader.headers().expect("a header").clone();
    let at = |name: &str| header.iter().position(|column| column == name).expect(name);
    let (key, columns) = (key.map(at), columns.map(at));
    reader
        .records()
        .map(|record| {
            let record = record.expect("a record");
            let value = |index: usize| record[index].parse().unwrap_or_else(|e| panic!("{}: {e}", &record[index]));
            ((record[key[0]].to_owned(), record[key[1]].to_owned()), columns.map(value))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn online_retail_equals_its_truth() {
    let Some(data) = shared_data().map(|data| data.join("online-retail")).filter(|data| data.is_dir()) else {
        return skipped_even_in_ci("online_retail_equals_its_truth", "the data set is not beside this checkout");
    };
    let (definitions, out) = (tempdir(), tempdir());
    let mut files = DefinitionFiles::default();
    files.definitions.metrics = Some(replayed_retail::metrics(definitions.path()));
    files.reference.files.push(replayed_retail::products(out.path()));
    let suite = TestSuite::with_files(files).await;
    let (client, file) = (suite.client(), data.join("online_retail.csv.zst"));
    // The suite is busy with today's traffic, which must make no old line late.
    let (done, live) = (AtomicBool::new(false), AtomicU64::new(0));
    let traffic = async {
        while !done.load(Ordering::Relaxed) {
            let n = live.fetch_add(1, Ordering::Relaxed);
            let order = order(&format!("live-{n}"), "c-1", "novel", 1, "2.50");
            // On a busy machine it may take longer than a client has patience for.
            let verdict = loop {
                match client.send(order.clone().into(), false, None).await {
                    Err(ClientError::Unavailable { .. }) => {}
                    verdict => break verdict.expect("it is taken in"),
                }
            };
            assert_eq!(verdict.rejected_total, 0);
        }
    };
    let import = async {
        let sending = Sending { batch: 1_000, senders: 8, shuffle: Some(11) };
        let summary = online_retail::import(&file, out.path(), &client, sending).await.expect("imports");
        done.store(true, Ordering::Relaxed);
        summary
    };
    let ((), summary) = tokio::join!(traffic, import);
    eprintln!("{}", serde_json::to_string(&summary).expect("serialises"));
    // A request that a busy machine gave up is sent again: then some lines come twice.
    assert_eq!((summary.sent, summary.counted, summary.late), (LINES, LINES, 0));

    let truth = rows(
        &data.join("truth/per_day_country.csv"),
        ["d", "country"],
        ["lines", "invoices", "customers", "qty", "net", "sales"],
    );
    let ours = rows(
        &out.path().join("daily_country.csv"),
        ["date", "country"],
        ["lines", "invoices", "customers", "quantity", "net", "sales"],
    );
    let different: Vec<_> = truth.iter().filter(|(key, row)| ours.get(*key) != Some(row)).take(5).collect();
    assert!(different.is_empty(), "differs, for instance: {different:?}");
    assert_eq!(ours.len(), truth.len(), "no day and country too many");
    let net: Amount = ours.values().map(|row| row[4]).sum();
    assert_eq!(net.to_string(), "9747747.934");

    replayed_retail::replay(&suite, &file, ours.len()).await;

    // It was sent by eight at once, a year of batches in random order. Sent again,
    // every line is known.
    let sending = Sending { batch: 10_000, senders: 4, shuffle: None };
    let again = online_retail::import(&file, out.path(), &client, sending).await.expect("imports");
    assert_eq!((again.sent, again.counted, again.late), (LINES, 0, 0));
    assert!(again.duplicate >= LINES, "{}", again.duplicate);
    assert_eq!(
        rows(
            &out.path().join("daily_country.csv"),
            ["date", "country"],
            ["lines", "invoices", "customers", "quantity", "net", "sales"]
        ),
        ours
    );

    let live = live.load(Ordering::Relaxed);
    let totals = suite.balanced(2 * LINES + live).await;
    assert_eq!(totals["counted"], LINES + live);
    assert_eq!(totals["late"], 0);
    suite.stop().await;
}
