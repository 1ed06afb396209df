use tidemill_domain::Amount;

use super::*;
use crate::testing::{at, sales};

#[test]
fn csv_runs_nothing_in_a_spreadsheet_and_keeps_its_numbers() {
    let formula = "=HYPERLINK(\"http://evil.example\",\"click\")";
    let rows = [(
        BTreeMap::from([("category".to_owned(), formula.to_owned())]),
        None,
        Values::from([("revenue".to_owned(), Value::Amount(Amount::from_int(-2)))]),
    )];
    let bytes = csv(&sales(), &["category".to_owned()], false, rows.into_iter()).expect("writes");
    let record = csv::Reader::from_reader(&bytes[..]).records().next().expect("a row").expect("reads");
    assert_eq!((record[0].to_owned(), &record[4]), (format!("'{formula}"), "-2.00"));
}

#[test]
fn csv_keeps_any_text() {
    let hostile = "a,\"b\"\n<script>\u{1f600}";
    let rows = [(
        BTreeMap::from([("category".to_owned(), hostile.to_owned())]),
        Some((at(0), at(60_000), true)),
        Values::from([("revenue".to_owned(), Value::Amount(Amount::from_int(2)))]),
    )];
    let bytes = csv(&sales(), &["category".to_owned()], true, rows.into_iter()).expect("writes");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().expect("a header").clone();
    assert_eq!(&header, vec!["category", "start", "end", "complete", "customers", "orders", "quantity", "revenue"]);
    let record = reader.records().next().expect("a row").expect("reads");
    assert_eq!((&record[0], &record[1], &record[4], &record[7]), (hostile, "1970-01-01T00:00:00Z", "", "2.00"));
}
