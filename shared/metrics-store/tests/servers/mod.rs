//! Real servers that take InfluxDB's line protocol, each with a folder and a
//! port of its own; killed when dropped.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use tidemill_domain::Timestamp;
use tidemill_metrics_store::{Config, FieldValue, Point};
use tidemill_testkit::{TempDir, tempdir, try_eventually};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// What the client writes for a backslash before a character that is escaped.
const GUARDED: &str = "\\\u{200b}";

/// A running server.
pub(crate) struct Server {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: PathBuf, arguments: impl FnOnce(&TempDir, &str) -> Vec<String>) -> Self {
        tidemill_service::install_crypto();
        let folder = tempdir();
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(&program)
            .args(arguments(&folder, &address))
            .env("INFLUXD_REPORTING_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self { child, url: format!("http://{address}"), _folder: folder }
    }

    /// The store that writes to it.
    pub(crate) fn config(&self, token: &str) -> Config {
        Config::InfluxDb {
            url: self.url.clone(),
            org: "tidemill".into(),
            bucket: "metrics".into(),
            token: token.into(),
        }
    }
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|p| p.is_file())
}

fn text(path: impl AsRef<OsStr>) -> String {
    path.as_ref().to_str().expect("a path in UTF-8").to_owned()
}

/// An influxd, set up with an organisation, a bucket and the token
/// `test-token`; `None` where there is none to start.
pub(crate) async fn influxd() -> Option<Server> {
    let program = std::env::var_os("TIDEMILL_INFLUXD").map(PathBuf::from).or_else(|| on_path(&["influxd"]))?;
    let server = Server::start(program, |folder, address| {
        let path = |name: &str| text(folder.path().join(name));
        let paths = [("--bolt-path", "i.bolt"), ("--sqlite-path", "i.sqlite"), ("--engine-path", "engine")];
        let paths = paths.iter().flat_map(|(option, name)| [(*option).to_owned(), path(name)]);
        paths.chain(["--http-bind-address".to_owned(), address.to_owned()]).collect()
    });
    let setup = json!({"username": "tidemill", "password": "tidemill-test", "org": "tidemill",
        "bucket": "metrics", "token": "test-token"});
    let client = reqwest::Client::new();
    let url = format!("{}/api/v2/setup", server.url);
    try_eventually("InfluxDB is set up", START_DEADLINE, || async {
        let answer = client.post(&url).json(&setup).send().await.map_err(|e| e.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    })
    .await;
    Some(server)
}

/// A VictoriaMetrics, which parses what InfluxDB's `/api/v2/write` takes;
/// `None` where there is none to start.
pub(crate) async fn victoria_metrics() -> Option<Server> {
    let server = Server::start(on_path(&["victoria-metrics", "victoria-metrics-prod"])?, |folder, address| {
        vec![
            format!("-httpListenAddr={address}"),
            format!("-storageDataPath={}", text(folder.path())),
            // By default it drops what is older than a month, without a word.
            "-retentionPeriod=100y".into(),
        ]
    });
    let client = reqwest::Client::new();
    let url = format!("{}/health", server.url);
    try_eventually("VictoriaMetrics is up", START_DEADLINE, || async {
        client.get(&url).send().await.and_then(reqwest::Response::error_for_status).map(|_| ())
    })
    .await;
    Some(server)
}

/// One series of one field, as `/api/v1/export` writes it.
#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<f64>,
    timestamps: Vec<i64>,
}

/// Every point of a measurement in a VictoriaMetrics, by time and tags; values
/// are floats there.
pub(crate) async fn export(server: &Server, measurement: &str) -> Result<Vec<Point>, String> {
    let client = reqwest::Client::new();
    let get = async |path: &str, query: &[(&str, String)]| -> Result<String, reqwest::Error> {
        let answer = client.get(format!("{}{path}", server.url)).query(query).send().await?;
        answer.error_for_status()?.text().await
    };
    // What was just written is not searched before it is flushed.
    get("/internal/force_flush", &[]).await.map_err(|e| e.to_string())?;
    let selector = format!("{{__name__=~\"{measurement}_.*\"}}");
    let query = [("match[]", selector), ("start", "0".into()), ("end", "4000000000".into())];
    let body = get("/api/v1/export", &query).await.map_err(|e| e.to_string())?;
    let mut points: BTreeMap<(Timestamp, BTreeMap<String, String>), BTreeMap<String, FieldValue>> = BTreeMap::new();
    for line in body.lines() {
        let Series { mut metric, values, timestamps } = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let name = metric.remove("__name__").ok_or("a series without a name")?;
        let field = name.strip_prefix(measurement).and_then(|name| name.strip_prefix('_')).ok_or("a strange name")?;
        metric.values_mut().for_each(|value| *value = value.replace(GUARDED, "\\"));
        for (value, time) in values.into_iter().zip(timestamps) {
            let point = points.entry((Timestamp::saturating_from_millis(time), metric.clone())).or_default();
            point.insert(field.to_owned(), FieldValue::Float(value));
        }
    }
    let point = |((time, tags), fields)| Point { measurement: measurement.to_owned(), tags, fields, time };
    Ok(points.into_iter().map(point).collect())
}
