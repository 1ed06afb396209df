//! A suite, and lakes that join it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tidemill::{
    profile::SuiteProfile,
    suite::{Options, Suite},
};
use tidemill_bus::Bus;
use tidemill_events::{RawBatch, event, topology};
use tidemill_lake::{Config, LakeService};
use tidemill_lake_tables::{Lake, S3Config, StorageConfig, testing};
use tidemill_service::{Context, Service};
use tidemill_testkit::{FakeSlack, TempDir, eventually, tempdir};
use tokio::{runtime::Runtime, time::sleep};

pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Products and customers that the tests' events are about.
const REFERENCE: &str = "products:\n  - {id: novel, category: Books}\n  - {id: chess, category: Games}\n\
    customers:\n  - {id: c-1, country: DE}\n";

/// A running suite.
pub(crate) struct TestShop {
    pub(crate) suite: Suite,
    pub(crate) bus: Bus,
    pub(crate) http: reqwest::Client,
    pub(crate) slack: FakeSlack,
    folder: TempDir,
}

impl TestShop {
    pub(crate) async fn start() -> Self {
        Self::of(tempdir(), None).await
    }

    /// Starts a part of the suite.
    pub(crate) async fn start_as(profile: SuiteProfile) -> Self {
        Self::of(tempdir(), Some(profile)).await
    }

    /// Ends it, and goes on with another part of the suite.
    pub(crate) async fn go_on_as(self, profile: SuiteProfile) -> Self {
        assert!(self.suite.stop().await, "every service drains");
        Self::of(self.folder, Some(profile)).await
    }

    async fn of(folder: TempDir, profile: Option<SuiteProfile>) -> Self {
        tidemill_service::install_crypto();
        let reference = folder.path().join("reference.yaml");
        std::fs::write(&reference, REFERENCE).expect("writes");
        let slack = FakeSlack::start().await;
        let options = Options {
            folder: folder.path().join("suite"),
            reference: Some(reference),
            slack_webhook: Some(slack.webhook_url()),
            profile,
            ..Options::default()
        };
        std::fs::create_dir_all(&options.folder).expect("a folder");
        let suite = Suite::start(&options).await.unwrap_or_else(|e| panic!("the suite does not start: {e}"));
        let config = tidemill_bus::Config { url: suite.nats_url(), ..tidemill_bus::Config::default() };
        let bus = Bus::connect(&config, "test").await.expect("NATS answers");
        Self { suite, bus, http: reqwest::Client::new(), slack, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn post(&self, events: &[Value], backfill: Option<&str>) -> Value {
        let url = format!("http://{}/v1/events", self.suite.ingestion);
        let mut request = self.http.post(url).json(events);
        if let Some(name) = backfill {
            request = request.header("Tidemill-Backfill", name);
        }
        request.send().await.expect("ingestion answers").json().await.expect("JSON")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.suite.reporting);
        self.http.get(url).send().await.expect("reporting answers").json().await.expect("JSON")
    }

    /// Waits until every one of so many events is accounted for, and answers the books.
    pub(crate) async fn balanced(&self, received: u64) -> Value {
        eventually("the books balance", DEADLINE, || async {
            let books = self.get("/v1/books").await;
            let done = books["balanced"] == true && books["totals"]["received"].as_u64() >= Some(received);
            done.then(|| books["totals"].clone())
        })
        .await
    }

    /// Every line of the log, with its place.
    pub(crate) async fn log(&self) -> BTreeMap<(u16, u64, usize), String> {
        let mut lines = BTreeMap::new();
        for partition in self.bus.partitions().all() {
            let (subject, mut next) = (topology::raw(partition), 1);
            while let Some((sequence, batch)) =
                self.bus.next_at::<RawBatch>(&subject, next).await.expect("NATS answers")
            {
                let batch = batch.expect("a batch");
                for (index, line) in event::lines(&batch.lines).enumerate() {
                    let text = String::from_utf8_lossy(line).into_owned();
                    lines.insert((partition.index(), sequence, index), text);
                }
                next = sequence + 1;
            }
        }
        lines
    }

    /// The tables, read by themselves.
    pub(crate) fn tables(&self) -> Lake {
        let url = self.folder().join("lake").to_str().expect("a path").to_owned();
        Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder")
    }

    pub(crate) async fn rows(&self, path: &str, columns: &[&str]) -> Vec<Vec<String>> {
        testing::rows(&self.tables(), path, columns).await.expect("a table")
    }

    /// What bronze has, as [`log`](Self::log) gives it. No line may be there twice.
    pub(crate) async fn bronze(&self) -> BTreeMap<(u16, u64, usize), String> {
        let mut lines = BTreeMap::new();
        for row in self.rows("bronze/events", &["partition", "raw_seq", "index", "event"]).await {
            let [partition, raw_seq, index, event] = &row[..] else { panic!("four columns") };
            let place =
                (partition.parse().expect("a number"), raw_seq.parse().expect("one"), index.parse().expect("one"));
            assert_eq!(lines.insert(place, event.clone()), None, "{place:?} is there once");
        }
        lines
    }

    /// Starts a lake of its own threads, which can be killed.
    pub(crate) fn lake(&self) -> TestLake {
        self.lake_with("")
    }

    /// The same at an address where one was before.
    pub(crate) fn lake_at(&self, address: SocketAddr) -> TestLake {
        let settings = self.settings("lake.db", &self.folder().join("lake").display().to_string(), "");
        TestLake::start(&settings.replace("127.0.0.1:0", &address.to_string()))
    }

    /// The same, with further sections of settings.
    pub(crate) fn lake_with(&self, more: &str) -> TestLake {
        TestLake::start(&self.settings("lake.db", &self.folder().join("lake").display().to_string(), more))
    }

    /// The settings of a lake with this database and root, and more behind its section `lake`. Without
    /// some of quality it measures none, so that the log has what was sent and no more.
    pub(crate) fn settings(&self, database: &str, root: &str, more: &str) -> String {
        let quality = if more.contains("[quality]") { "" } else { "[quality]\nevery_seconds = 0\n" };
        format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[auth]\nopen = true\n[nats]\nurl = {:?}\n[store]\nurl = \"sqlite://{}\"\n\
             [bronze]\nevery_seconds = 1\n[silver]\nevery_seconds = 1\n{quality}\
             [lake]\nurl = {root:?}\ncheckpoint_interval = 5\n{more}",
            self.suite.nats_url(),
            self.folder().join(database).display(),
        )
    }
}

fn config(toml: &str) -> Config {
    let config: Config = tidemill_service::config::parse(toml).expect("the configuration parses");
    // This program is one of tests.
    config.with_sql_program(env!("CARGO_BIN_EXE_tidemill-lake"))
}

/// A lake on threads of its own.
pub(crate) struct TestLake {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    runtime: Runtime,
    context: Context,
}

/// A lake that may not have started.
pub(crate) struct StartingLake {
    runtime: Runtime,
    pub(crate) context: Context,
}

impl StartingLake {
    /// Begins to start it, and does not wait for that.
    pub(crate) fn begin(toml: &str) -> Self {
        let config = config(toml);
        let context = Context::new("lake");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (handle, of_lake) = (runtime.handle().clone(), context.clone());
        // It ends when it is shut down.
        std::thread::spawn(move || handle.block_on(LakeService::start(config, of_lake)).map(drop));
        Self { runtime, context }
    }

    /// Ends it where it stands.
    pub(crate) fn kill(self) {
        self.context.shutdown.cancel();
        self.runtime.shutdown_background();
    }
}

impl TestLake {
    pub(crate) fn start(toml: &str) -> Self {
        let config = config(toml);
        let context = Context::new("lake");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let of_lake = context.clone();
        let starting = std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(LakeService::start(config, of_lake))).join().expect("no panic")
        });
        let address = starting.expect("the lake starts").address;
        Self { address, runtime, context }
    }

    /// What keeps it from being ready, by what it is of.
    pub(crate) fn problems(&self) -> BTreeMap<&'static str, String> {
        self.context.health.problems()
    }

    /// Ends it where it stands.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }

    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        assert!(self.context.drained(DEADLINE).await, "the lake drains");
        assert_eq!(self.context.failure(), None);
        self.runtime.shutdown_background();
    }
}

/// Waits until a count is as it is to be: what is read meanwhile may be of any version.
pub(crate) async fn counts(what: &str, expected: usize, count: impl AsyncFn() -> usize) {
    let mut counted = 0;
    let begun = std::time::Instant::now();
    while begun.elapsed() < DEADLINE {
        counted = count().await;
        if counted >= expected {
            break;
        }
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(counted, expected, "{what}");
}
