//! The same points in a real InfluxDB 2, and in VictoriaMetrics, which parses InfluxDB's line protocol too.

mod servers;

use std::{collections::BTreeMap, time::Duration};

use servers::{export, influxd, victoria_metrics};
use tidemill_domain::Timestamp;
use tidemill_metrics_store::{Config, FieldValue, InfluxStore, Point};
use tidemill_testkit::{skipped, skipped_even_in_ci, try_eventually};

/// Texts that line protocol escapes, or that something on the way could bend.
const HOSTILE: [&str; 11] = [
    "plain",
    "with spaces",
    "a,b=c",
    "say \"hi\"",
    "it's",
    "back\\slash",
    "\\, \\= \\ ",
    "ends in \\",
    "Zo\u{eb} \u{1f6d2} \u{65e5}\u{672c}",
    "=",
    "<script>",
];
/// The integers up to here are all exact as floats: 2^53.
const EXACT_IN_A_FLOAT: i64 = 1 << 53;

fn at(minute: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_291_190_400_000 + minute * 60_000)
}

fn point(tags: &[(&str, &str)], minute: i64, micros: i64) -> Point {
    Point {
        measurement: "sales_metrics".into(),
        tags: tags.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        fields: BTreeMap::from([
            ("revenue".into(), FieldValue::Float(micros as f64 / 1e6)),
            ("revenue_micros".into(), FieldValue::Integer(micros)),
        ]),
        time: at(minute),
    }
}

/// One point a minute for each hostile text, and the largest amount that a
/// float still holds exactly: nine billion, in millionths.
fn hostile_points() -> Vec<Point> {
    let minutes = HOSTILE.iter().zip(0..);
    let mut points: Vec<Point> = minutes
        .map(|(category, minute)| point(&[("category", category), ("partition", "3")], minute, minute * 1_234_567))
        .collect();
    points.push(point(&[("category", "large"), ("partition", "0")], 50, EXACT_IN_A_FLOAT - 1));
    points
}

/// The sum of a field over points, exactly.
fn total(points: &[Point], field: &str) -> i128 {
    let value = |point: &Point| match point.fields[field] {
        FieldValue::Integer(n) => i128::from(n),
        FieldValue::Float(x) => format!("{x:.0}").parse().expect("a whole number"),
    };
    points.iter().map(value).sum()
}

async fn what_is_written_is_read_back(store: &InfluxStore) {
    let points = hostile_points();
    store.write(&points).await.expect("written");
    let read = store.read("sales_metrics", at(0), at(60), 100).await.expect("read");
    assert_eq!(read, points);
    assert_eq!(total(&read, "revenue_micros"), total(&points, "revenue_micros"));
    let some = store.read("sales_metrics", at(1), at(3), 100).await.expect("read");
    assert_eq!(some, points[1..3]);
}

async fn writing_again_replaces(store: &InfluxStore) {
    let tags = [("category", "again"), ("partition", "1")];
    store.write(&[point(&tags, 100, 1)]).await.expect("written");
    store.write(&[point(&tags, 100, 2), point(&tags, 100, 3)]).await.expect("written");
    let read = store.read("sales_metrics", at(100), at(101), 100).await.expect("read");
    assert_eq!(read, [point(&tags, 100, 3)]);
    assert!(store.read("other", at(0), at(1000), 10).await.expect("read").is_empty());
}

fn opened(config: &Config) -> InfluxStore {
    config.influx().expect("opens").expect("is InfluxDB")
}

/// Runs every check, also behind one that fails.
async fn passes_all(store: &InfluxStore) {
    let mut failed = Vec::new();
    let (one, two) = (store.clone(), store.clone());
    if tokio::spawn(async move { what_is_written_is_read_back(&one).await }).await.is_err() {
        failed.push("what_is_written_is_read_back");
    }
    if tokio::spawn(async move { writing_again_replaces(&two).await }).await.is_err() {
        failed.push("writing_again_replaces");
    }
    assert_eq!(failed, Vec::<&str>::new());
}

#[tokio::test]
async fn influxdb() {
    let Some(server) = influxd().await else {
        return skipped_even_in_ci("influxdb", "no influxd on PATH or in TIDEMILL_INFLUXD");
    };
    let store = opened(&server.config("test-token"));
    passes_all(&store).await;
    let stranger = opened(&server.config("wrong"));
    let error = stranger.write(&[point(&[("a", "b")], 0, 1)]).await.expect_err("401");
    assert!(error.is_transient(), "the token can be mended while the log waits: {error}");
    assert!(!format!("{:?}", server.config("wrong")).contains("wrong"));
}

/// What the client writes, read by another parser of the same protocol. It
/// keeps 64-bit floats: amounts in millionths are exact up to 2^53, and beyond
/// that it would not be the one to ask. Nor does it overwrite, so that is left
/// to the others.
#[tokio::test]
async fn victoria_metrics_reads_the_same_points() {
    let Some(server) = victoria_metrics().await else {
        return skipped("victoria_metrics_reads_the_same_points", "no victoria-metrics on PATH");
    };
    let store = opened(&server.config("any"));
    let written = hostile_points();
    store.write(&written).await.expect("written");
    let as_floats = |point: &Point| {
        let float = |value: &FieldValue| match value {
            FieldValue::Integer(n) => FieldValue::Float(*n as f64),
            FieldValue::Float(x) => FieldValue::Float(*x),
        };
        let fields = point.fields.iter().map(|(name, value)| (name.clone(), float(value))).collect();
        Point { fields, ..point.clone() }
    };
    let expected: Vec<Point> = written.iter().map(as_floats).collect();
    let read = try_eventually("every point is there", Duration::from_secs(20), || async {
        let read = export(&server, "sales_metrics").await?;
        if read.len() == expected.len() { Ok(read) } else { Err(format!("{read:?}")) }
    })
    .await;
    assert_eq!(read, expected);
    assert_eq!(total(&read, "revenue_micros"), total(&written, "revenue_micros"));
}

#[tokio::test]
async fn an_absent_influxdb_is_transient_and_a_wrong_url_is_not() {
    let config = |url: &str| Config::InfluxDb {
        url: url.into(),
        org: "tidemill".into(),
        bucket: "metrics".into(),
        token: "t".into(),
    };
    let absent = opened(&config("http://127.0.0.1:9"));
    assert!(absent.write(&[point(&[("a", "b")], 0, 1)]).await.expect_err("nobody there").is_transient());
    config("https://influxdb.example").influx().expect("TLS is there");
    for url in ["ftp://x", "not a url", "http://user:hunter2@x"] {
        let error = config(url).influx().expect_err(url);
        assert!(!error.is_transient() && !format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
