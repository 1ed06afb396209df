use tidemill_domain::{Amount, Currency};

use super::*;
use crate::{
    batch::AnswerSource,
    query::grouping::Gaps,
    testing::{at, sales},
};

fn columns<'a>(metric: &'a Metric, group_by: &'a [String], has_windows: bool) -> CsvColumns<'a> {
    CsvColumns {
        group_by,
        dates_of: None,
        has_windows,
        measures: metric.measures.iter().map(|measure| measure.name.as_str()).collect(),
        converted: vec!["revenue"],
        unconverted: vec!["revenue"],
        base_currency: Some(Currency::EUR.to_string()),
        unread: Vec::new(),
        counting: None,
        kept_since: None,
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
        unread: BTreeMap::new(),
    }
}

#[test]
fn csv_runs_nothing_in_a_spreadsheet_and_keeps_its_numbers() {
    let formula = "=HYPERLINK(\"http://evil.example\",\"click\")";
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let bytes = columns(&metric, &group_by, false).write(&[row(formula, None, -2)]).expect("writes");
    let record = csv::Reader::from_reader(&bytes[..]).records().next().expect("a row").expect("reads");
    assert_eq!((record[0].to_owned(), &record[4]), (format!("'{formula}"), "-2.00"));
}

#[test]
fn csv_keeps_any_text() {
    let hostile = "a,\"b\"\n<script>\u{1f600}";
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let rows = [row(hostile, Some((at(0), at(60_000), true)), 2)];
    let bytes = columns(&metric, &group_by, true).write(&rows).expect("writes");
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
fn csv_says_since_when_windows_are_kept() {
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let columns = CsvColumns { kept_since: Some(at(0).to_string()), ..columns(&metric, &group_by, false) };
    let bytes = columns.write(&[row("Books", None, 2)]).expect("writes");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let place = reader.headers().expect("a header").iter().position(|name| name == "kept_since").expect("a column");
    let record = reader.records().next().expect("a row").expect("reads");
    assert_eq!((&record[place], place + 2), ("1970-01-01T00:00:00Z", record.len()));
}

#[test]
fn csv_says_what_is_not_counted() {
    let (metric, group_by) = (sales(), ["category".to_owned()]);
    let uncounted =
        vec![UncountedTime { from: at(60_000), to: Some(at(120_000)) }, UncountedTime { from: at(180_000), to: None }];
    let lacks = counting(&Counting { counted_from: Some(at(0)), uncounted });
    let columns = CsvColumns { counting: lacks, ..columns(&metric, &group_by, false) };
    let bytes = columns.write(&[row("Books", None, 2)]).expect("writes");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().expect("a header").clone();
    let record = reader.records().next().expect("a row").expect("reads");
    let of = |name: &str| &record[header.iter().position(|column| column == name).expect("a column")];
    assert_eq!(of("counted_from"), "1970-01-01T00:00:00Z");
    assert_eq!(of("uncounted"), "1970-01-01T00:01:00Z/1970-01-01T00:02:00Z 1970-01-01T00:03:00Z/..");
    assert_eq!(header.iter().next_back(), Some("approximate"));
    assert_eq!(counting(&Counting::default()), None);
}

fn head(metric: &Metric, zone: Zone) -> Head {
    Head {
        kept_since: None,
        metric: metric.name.clone(),
        version: metric.version.clone(),
        generation: None,
        from: None,
        to: None,
        zone,
        group_by: vec!["category".to_owned()],
        base_currency: Some(Some(Currency::EUR)),
        convert: false,
        top: None,
        as_of: None,
        watermark: None,
        complete: true,
        counting: Counting::default(),
        source: AnswerSource::Speed,
        parts: None,
        approximate: Vec::new(),
    }
}

/// One point of books, which begins then and has so many rows whose revenue cannot be read.
fn series(
    start: Timestamp,
    resolution: Resolution,
    zone: &str,
    unread: &[(&str, u64)],
) -> Vec<BTreeMap<String, String>> {
    let metric = sales();
    let CsvRow { dimensions, values, in_base, .. } = row("Books", None, 2);
    let gaps =
        Gaps { unread: unread.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(), ..Gaps::default() };
    let second = SeriesPoint { start, end: start.plus_millis(86_400_000), complete: true, values, in_base, gaps };
    let points = vec![SeriesPoint { gaps: Gaps::default(), ..second.clone() }, second];
    let head = head(&metric, zone.parse().expect("a zone"));
    let answer = SeriesAnswer { head, resolution, series: vec![MetricSeries { dimensions, points }] };
    let bytes = series_csv(&metric, answer).expect("writes");
    csv::Reader::from_reader(&bytes[..]).into_deserialize().map(|row| row.expect("reads")).collect()
}

#[test]
fn csv_says_how_many_rows_are_in_no_measure_where_there_are_any() {
    let rows = series(at(0), Resolution::Window, "UTC", &[("revenue", 3)]);
    assert_eq!((&*rows[0]["unread.revenue"], &*rows[1]["unread.revenue"]), ("0", "3"));
    assert!(!rows[0].contains_key("unread.quantity"), "{rows:?}");
    let rows = series(at(0), Resolution::Window, "UTC", &[]);
    assert!(rows[0].keys().all(|name| !name.starts_with("unread")), "{rows:?}");
}

#[test]
fn csv_has_the_date_with_which_a_period_begins_in_its_zone() {
    let start = at(1_793_401_200_000);
    for (resolution, zone, date) in [
        (Resolution::Day, "Europe/Berlin", Some("2026-10-31")),
        (Resolution::Month, "Europe/Berlin", Some("2026-10-31")),
        (Resolution::Day, "UTC", Some("2026-10-30")),
        (Resolution::Hour, "Europe/Berlin", None),
    ] {
        let rows = series(start, resolution, zone, &[]);
        assert_eq!(rows[0].get("date").map(String::as_str), date, "{resolution:?} in {zone}");
        assert_eq!(rows[0]["start"], "2026-10-30T23:00:00Z");
    }
}
