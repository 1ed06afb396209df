//! What the end-to-end tests share: a whole suite with real servers, and
//! questions to it; and three runs that compare every number with the truth: the
//! chaos run and the benchmark on this machine, and the cluster test on a
//! Kubernetes.

pub mod bench;
pub mod browser;
pub mod chaos;
pub mod cluster;
mod error;
pub mod generations;
mod journal;
mod local;
pub mod nexmark;
mod service;
pub mod shop;

pub use service::Service;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::header;
use serde_json::Value;
use tidemill::{
    client::{Client, Keys},
    replay::ReplaySettings,
    suite::{DefinitionFiles, Jaeger, Options, Suite, TRACED_SERVICES},
};
use tidemill_domain::{Clock, SystemClock, Timestamp};
use tidemill_service::{Role, TelemetryConfig, telemetry::Telemetry};
use tidemill_testkit::{FakeSlack, TempDir, crate_folder, eventually, tempdir};

/// How long the chain may take to show what it was told.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A key of each role, of a suite that has any.
pub const KEYS: [(Role, &str); 3] =
    [(Role::Write, "key-of-the-shop-1"), (Role::Read, "key-of-the-wall-1"), (Role::Operate, "key-of-anna-is-it")];

/// Products and customers that the tests' events are about.
const REFERENCE: &str = "\
products:
  - {id: novel, category: Books}
  - {id: chess, category: Games}
customers:
  - {id: c-1, country: DE}
  - {id: c-2, country: US}
";

/// A running suite with a Slack of its own, and a client for it.
pub struct TestSuite {
    /// The suite.
    pub suite: Suite,
    /// Where its alerts go.
    pub slack: FakeSlack,
    /// Its traces, where it has any.
    pub jaeger: Option<Jaeger>,
    /// For requests.
    pub http: reqwest::Client,
    /// What they bring, where the suite needs keys.
    pub keys: Keys,
    folder: TempDir,
}

impl TestSuite {
    /// Starts a suite without traces.
    ///
    /// # Panics
    /// When anything does not start: tests need it.
    pub async fn start() -> Self {
        Self::with_files(DefinitionFiles::default()).await
    }

    /// Starts a suite with definitions and reference data of its own.
    ///
    /// # Panics
    /// When anything does not start.
    pub async fn with_files(files: DefinitionFiles) -> Self {
        Self::with(None, false, files).await
    }

    /// Starts a suite with the keys of a folder; its requests bring [`KEYS`].
    ///
    /// # Panics
    /// When anything does not start.
    pub async fn guarded() -> Self {
        Self::with(None, true, DefinitionFiles::default()).await
    }

    /// Starts a suite that traces what asks for it. Once in a process, since
    /// logs and traces are the process's.
    ///
    /// # Panics
    /// When anything does not start.
    pub async fn traced() -> (Self, Telemetry) {
        let jaeger = Jaeger::start(0).await.unwrap_or_else(|e| panic!("{e}"));
        let config = TelemetryConfig {
            otlp_endpoint: Some(format!("http://{}", jaeger.otlp)),
            sample_ratio: 0.0,
            log: "warn".into(),
            ..TelemetryConfig::default()
        };
        let telemetry = Telemetry::init(&config, &TRACED_SERVICES).unwrap_or_else(|e| panic!("{e}"));
        (Self::with(Some(jaeger), false, DefinitionFiles::default()).await, telemetry)
    }

    async fn with(jaeger: Option<Jaeger>, guarded: bool, files: DefinitionFiles) -> Self {
        tidemill_service::install_crypto();
        let folder = tempdir();
        let slack = FakeSlack::start().await;
        let reference = folder.path().join("reference.yaml");
        std::fs::write(&reference, REFERENCE).unwrap_or_else(|e| panic!("{e}"));
        let keys = folder.path().join("keys");
        if guarded {
            write_keys(&keys).unwrap_or_else(|e| panic!("{e}"));
        }
        let options = Options {
            folder: folder.path().to_owned(),
            slack_webhook: Some(slack.webhook_url()),
            geoip: std::env::var_os("TIDEMILL_GEOIP").map(PathBuf::from).filter(|path| path.is_file()),
            reference: Some(reference),
            jaeger: jaeger.map(|j| format!("http://{}", j.ui)),
            keys: guarded.then_some(keys),
            files,
            ..Options::default()
        };
        let suite = Suite::start(&options).await.unwrap_or_else(|e| panic!("the suite does not start: {e}"));
        let key = |role| KEYS.into_iter().find(|(of, _)| *of == role).map(|(_, key)| key.to_owned());
        let keys = match guarded {
            true => Keys { write: key(Role::Write), read: key(Role::Read) },
            false => Keys::default(),
        };
        Self { suite, slack, jaeger, http: reqwest::Client::new(), keys, folder }
    }

    /// A client as the commands use it.
    ///
    /// # Panics
    /// Never: an address makes a URL.
    pub fn client(&self) -> Client {
        let url = |address| format!("http://{address}").parse().unwrap_or_else(|e| panic!("{e}"));
        Client::new(url(self.suite.ingestion), url(self.suite.reporting), self.keys.clone())
    }

    /// Sends a body and answers the status and the JSON that came back.
    ///
    /// # Panics
    /// When ingestion does not answer.
    pub async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let url = format!("http://{}/v1/events", self.suite.ingestion);
        let request = self.http.post(url).header(header::CONTENT_TYPE, content_type).body(body);
        let request = with_key(request, self.keys.write.as_ref());
        let answer = request.send().await.unwrap_or_else(|e| panic!("ingestion does not answer: {e}"));
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Asks reporting.
    ///
    /// # Panics
    /// When reporting gives no JSON.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.suite.reporting);
        let request = with_key(self.http.get(url), self.keys.read.as_ref());
        let answer = request.send().await.unwrap_or_else(|e| panic!("{path}: {e}"));
        answer.json().await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Waits until every one of at least `received` events is accounted for,
    /// and answers the totals.
    pub async fn balanced(&self, received: u64) -> Value {
        eventually("the books balance", DEADLINE, || async {
            let books = self.get("/v1/books").await;
            let done = books["balanced"] == true && books["totals"]["received"].as_u64() >= Some(received);
            done.then(|| books["totals"].clone())
        })
        .await
    }

    /// What a replay beside it has to know.
    ///
    /// # Panics
    /// When its folder cannot be written.
    pub fn replay_settings(&self) -> ReplaySettings {
        self.suite.replay_settings(self.folder.path()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Drains and ends everything.
    ///
    /// # Panics
    /// When something does not drain in time.
    pub async fn stop(self) {
        assert!(self.suite.stop().await, "every service drains");
        drop(self.folder);
    }
}

fn write_keys(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    KEYS.into_iter()
        .try_for_each(|(role, key)| std::fs::write(folder.join(role.as_str()), format!("test-{role} {key}\n")))
}

fn with_key(request: reqwest::RequestBuilder, key: Option<&String>) -> reqwest::RequestBuilder {
    match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    }
}

/// Now.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// An order of one item, as a plain JSON event.
pub fn order(id: &str, customer: &str, product: &str, quantity: u32, price: &str) -> String {
    format!(
        r#"{{"type":"order.placed","source":"test-shop","id":"{id}","time":"{}","subject":"{customer}","data":{{"order_id":"o-{id}","items":[{{"product_id":"{product}","quantity":{quantity},"unit_price":{price}}}]}}}}"#,
        now()
    )
}

/// The folder of data sets beside the checkout, where there is one.
pub fn shared_data() -> Option<PathBuf> {
    // From this crate's folder, and from the project's, where programs start.
    let folders = ["../../shared/data", "../shared/data"].map(|path| crate_folder().join(path));
    folders.into_iter().find(|folder| folder.join("online-retail").is_dir())
}
