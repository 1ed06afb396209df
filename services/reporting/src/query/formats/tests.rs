use tidemill_domain::{Amount, Currency};

use super::*;
use crate::testing::{at, sales};

fn columns<'a>(metric: &'a Metric, group_by: &'a [String], has_windows: bool) -> CsvColumns<'a> {
    CsvColumns {
        group_by,
        has_windows,
        measures: metric.measures.iter().map(|measure| measure.name.as_str()).collect(),
        converted: vec!["revenue"],
        unconverted: vec!["revenue"],
        base_currency: Some(Currency::EUR.to_string()),
        counting: None,
        approximate: "customers orders".into(),
    }
}

fn row(category: &str, window: Option<(Timestamp, Timestamp, bool)>, revenue: i64) -> CsvRow {
    let revenue = ("revenue".to_owned(), Value::Amount(Amount::from_int(revenue)));
    CsvRow {
        dimensions: BTreeMap::from([("category".to_owned(), category.to_owned())]),
        window,
        values: Values::from([revenue.clone()]),
        in_base: BaseValues { converted: Values::from([revenue]), unconverted: BTreeMap::new() },
    }
}

#[test]
fn csv_runs_nothing_in_a_spreadsheet_and_keeps_its_numbers() {
    let formula = "=HYPERLINK(\"http://evil.example\",\"click\")";
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let bytes = columns(&metric, &group_by, false).write([row(formula, None, -2)].into_iter()).expect("writes");
    let record = csv::Reader::from_reader(&bytes[..]).records().next().expect("a row").expect("reads");
    assert_eq!((record[0].to_owned(), &record[4]), (format!("'{formula}"), "-2.00"));
}

#[test]
fn csv_keeps_any_text() {
    let hostile = "a,\"b\"\n<script>\u{1f600}";
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let rows = [row(hostile, Some((at(0), at(60_000), true)), 2)];
    let bytes = columns(&metric, &group_by, true).write(rows.into_iter()).expect("writes");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().expect("a header").clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>().join(" "),
        "category start end complete customers orders quantity revenue converted.revenue unconverted.revenue \
         base_currency approximate"
    );
    let record = reader.records().next().expect("a row").expect("reads");
    assert_eq!((&record[0], &record[1], &record[4], &record[7]), (hostile, "1970-01-01T00:00:00Z", "", "2.00"));
    assert_eq!((&record[8], &record[9], &record[10], &record[11]), ("2.00", "0", "EUR", "customers orders"));
}

#[test]
fn csv_says_what_is_not_counted() {
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let uncounted =
        vec![UncountedTime { from: at(60_000), to: Some(at(120_000)) }, UncountedTime { from: at(180_000), to: None }];
    let lacks = counting(&Counting { counted_from: Some(at(0)), uncounted });
    let columns = CsvColumns { counting: lacks, ..columns(&metric, &group_by, false) };
    let bytes = columns.write([row("Books", None, 2)].into_iter()).expect("writes");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().expect("a header").clone();
    let record = reader.records().next().expect("a row").expect("reads");
    let of = |name: &str| &record[header.iter().position(|column| column == name).expect("a column")];
    assert_eq!(of("counted_from"), "1970-01-01T00:00:00Z");
    assert_eq!(of("uncounted"), "1970-01-01T00:01:00Z/1970-01-01T00:02:00Z 1970-01-01T00:03:00Z/..");
    assert_eq!(header.iter().next_back(), Some("approximate"));
    assert_eq!(counting(&Counting::default()), None);
}
