//! The same tests on the built-in store and on a real InfluxDB 2.

use std::{collections::BTreeMap, time::Duration};

use tidemill_domain::Timestamp;
use tidemill_metrics_store::{Config, FieldValue, MetricsStore, Point};
use tidemill_testkit::{TempDir, skipped, tempdir, try_eventually};

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

async fn what_is_written_is_read_back(store: &MetricsStore) {
    let hostile = [
        "plain",
        "with spaces",
        "a,b=c",
        "say \"hi\"",
        "it's",
        "back\\slash",
        "ends in \\",
        "Zo\u{eb} \u{1f6d2} \u{65e5}\u{672c}",
        "=",
        "<script>",
    ];
    let points: Vec<Point> = hostile
        .iter()
        .enumerate()
        .map(|(n, category)| point(&[("category", category), ("partition", "3")], n as i64, n as i64 * 1_234_567))
        .collect();
    store.write(&points).await.expect("written");
    let read = store.read("sales_metrics", at(0), at(60), 100).await.expect("read");
    assert_eq!(read, points);
    let some = store.read("sales_metrics", at(1), at(3), 100).await.expect("read");
    assert_eq!(some, points[1..3]);
}

async fn writing_again_replaces(store: &MetricsStore) {
    let tags = [("category", "again"), ("partition", "1")];
    store.write(&[point(&tags, 100, 1)]).await.expect("written");
    store.write(&[point(&tags, 100, 2), point(&tags, 100, 3)]).await.expect("written");
    let read = store.read("sales_metrics", at(100), at(101), 100).await.expect("read");
    assert_eq!(read, [point(&tags, 100, 3)]);
    assert!(store.read("other", at(0), at(1000), 10).await.expect("read").is_empty());
}

#[tokio::test]
async fn builtin() {
    let folder = tempdir();
    let url = format!("sqlite://{}/points.db", folder.path().display());
    let store = MetricsStore::open(&Config::Builtin { url }).await.expect("opens");
    what_is_written_is_read_back(&store).await;
    writing_again_replaces(&store).await;
}

/// A real influxd, set up with an organisation, a bucket and a token.
struct Influxd {
    child: std::process::Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Influxd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn influxd() -> Option<Influxd> {
    let program = std::env::var_os("TIDEMILL_INFLUXD").map(std::path::PathBuf::from).or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?).map(|f| f.join("influxd")).find(|p| p.is_file())
    })?;
    tidemill_service::install_crypto();
    let folder = tempdir();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let url = format!("http://127.0.0.1:{port}");
    let path = |name: &str| folder.path().join(name);
    let child = std::process::Command::new(program)
        .arg("--bolt-path")
        .arg(path("i.bolt"))
        .arg("--sqlite-path")
        .arg(path("i.sqlite"))
        .arg("--engine-path")
        .arg(path("engine"))
        .args(["--http-bind-address", &format!("127.0.0.1:{port}")])
        .env("INFLUXD_REPORTING_DISABLED", "true")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("influxd starts");
    let server = Influxd { child, url: url.clone(), _folder: folder };
    let setup = serde_json::json!({"username": "tidemill", "password": "tidemill-test", "org": "tidemill",
        "bucket": "metrics", "token": "test-token"});
    let client = reqwest::Client::new();
    try_eventually("InfluxDB is set up", Duration::from_secs(60), || async {
        let answer = client.post(format!("{url}/api/v2/setup")).json(&setup).send().await.map_err(|e| e.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    })
    .await;
    Some(server)
}

fn config(url: &str, token: &str) -> Config {
    Config::InfluxDb { url: url.into(), org: "tidemill".into(), bucket: "metrics".into(), token: token.into() }
}

#[tokio::test]
async fn influxdb() {
    let Some(server) = influxd().await else {
        return skipped("influxdb", "no influxd on PATH or in TIDEMILL_INFLUXD");
    };
    let store = MetricsStore::open(&config(&server.url, "test-token")).await.expect("opens");
    what_is_written_is_read_back(&store).await;
    writing_again_replaces(&store).await;
    let stranger = MetricsStore::open(&config(&server.url, "wrong")).await.expect("opens");
    let error = stranger.write(&[point(&[("a", "b")], 0, 1)]).await.expect_err("401");
    assert!(error.is_transient(), "the token can be mended while the log waits: {error}");
    assert!(!format!("{:?}", config(&server.url, "wrong")).contains("wrong"));
}

#[tokio::test]
async fn an_absent_influxdb_is_transient_and_a_wrong_url_is_not() {
    let absent = MetricsStore::open(&config("http://127.0.0.1:9", "t")).await.expect("opens");
    assert!(absent.write(&[point(&[("a", "b")], 0, 1)]).await.expect_err("nobody there").is_transient());
    for url in ["ftp://x", "not a url"] {
        assert!(!MetricsStore::open(&config(url, "t")).await.expect_err(url).is_transient());
    }
}
