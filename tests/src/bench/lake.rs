//! The lake: what bronze and silver take of a processor, of memory and of the disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Bench, Options, held,
    machine::{Machine, rounded},
    report::float,
    scale::Scale,
    settings::LakeOptions,
    suite::Suite,
    usage::{Usage, folder_bytes},
};
use crate::{error::Error, local::ports::Ports, service::Service};

const SETTLED: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_millis(200);
/// For how long it has nothing to do before its memory counts as that of an idle one.
const IDLE: Duration = Duration::from_secs(15);
const MEBIBYTE: f64 = 1_048_576.0;
/// Tables whose rows are those of the events, one for each.
const WHOLE: [&str; 2] = ["bronze.events", "silver.events"];
const TABLES: [&str; 4] = ["bronze.events", "silver.events", "silver.order_lines", "silver.orders"];

/// A contract of `silver.events` without rules.
const NO_RULES: &str = "\
apiVersion: v3.0.2
kind: DataContract
id: none
version: 1.0.0
status: active
schema: [{name: events, physicalName: silver/events}]
";
/// Rules of quality without parts.
const NO_QUALITY: &str = "\
contacts:
  email: {types: [], members: []}
  phone: {types: [], members: []}
  address: {types: [], members: []}
events: []
customers: {country: country, parts: []}
";

/// A lake that has taken in what the log had.
pub(super) struct JoinedLake {
    /// From its start on.
    seconds: f64,
    usage: Usage,
    /// Whether its tables have each event once.
    pub(super) is_whole: bool,
}

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct LakeFigures {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Events of the shop that were in the log when the lake joined.
    pub events: u64,
    /// From its start until all of them were in bronze and silver.
    pub seconds: f64,
    /// How many it takes in for each second of a processor.
    pub events_per_cpu_s: f64,
    /// Processor seconds for a million of them.
    pub cpu_s_per_million: f64,
    /// The same where no rule and no part of quality is asked of an event.
    pub cpu_s_per_million_without_rules: f64,
    /// The most memory meanwhile.
    pub peak_rss_mb: f64,
    /// The most memory of one that had nothing to do.
    pub idle_rss_mb: f64,
    /// Bytes on disk for each event, by table; `sent` is the event's own as NDJSON.
    pub bytes_per_event: BTreeMap<String, f64>,
    /// Whether the suite's books balanced.
    pub balanced: bool,
    /// Whether both tables have each event once.
    pub equals_truth: bool,
    /// What the machine could do.
    pub machine: Machine,
}

/// Measures it: a lake joins a suite whose log has events of the shop.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn lake(options: &Options, events: u64) -> Result<LakeFigures, Error> {
    held(options, async |bench| bench.lake(events).await).await
}

impl Bench {
    async fn lake(&self, events: u64) -> Result<LakeFigures, Error> {
        let machine = Machine::measure(&self.folder)?;
        let mut suite = self.suite_with_lake().await?;
        sleep(IDLE).await;
        let idle = suite.usage_of(Service::Lake).await?;
        suite.end(Service::Lake).await?;

        let sent = self.generator.run(&suite, &super::shop_load(events)).await?;
        self.told("the shop", &sent);
        let first = self.joined(&suite, sent.sent).await?;
        let bytes_per_event = bytes_per_event(&suite.lake(), sent.bytes, sent.sent);
        // The tables come again out of the log.
        suite.end(Service::Lake).await?;
        std::fs::remove_dir_all(suite.lake()).map_err(Error::file(suite.lake()))?;
        suite.set_lake(LakeOptions { rules: Some(self.no_rules()?), ..LakeOptions::default() })?;
        let without_rules = self.joined(&suite, sent.sent).await?;
        suite.stop().await?;

        let million = float(sent.sent) / 1e6;
        let per_million = |joined: &JoinedLake| rounded(joined.usage.cpu_s / million);
        Ok(LakeFigures {
            store: self.store.name().into(),
            events: sent.sent,
            seconds: rounded(first.seconds),
            events_per_cpu_s: rounded(float(sent.sent) / first.usage.cpu_s),
            cpu_s_per_million: per_million(&first),
            cpu_s_per_million_without_rules: per_million(&without_rules),
            peak_rss_mb: rounded(float(first.usage.peak_rss) / MEBIBYTE),
            idle_rss_mb: rounded(float(idle.peak_rss) / MEBIBYTE),
            bytes_per_event,
            balanced: sent.balanced,
            equals_truth: first.is_whole && without_rules.is_whole && sent.equals_truth,
            machine,
        })
    }

    /// A suite whose lake keeps bronze and silver alone.
    pub(super) async fn suite_with_lake(&self) -> Result<Suite, Error> {
        let (catalogue, mut ports) = (self.folder.join("products.csv"), Ports::new());
        self.generator.write_catalogue(&catalogue).await?;
        let scale = Scale { with_lake: true, ..Scale::default() };
        self.suite("lake", &catalogue, scale, &mut ports).await
    }

    /// Has the lake join, and take in so many events that are in the log.
    pub(super) async fn joined(&self, suite: &Suite, events: u64) -> Result<JoinedLake, Error> {
        let begun = Instant::now();
        suite.start_anew(Service::Lake).await?;
        taken_in(suite, events).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let usage = suite.usage_of(Service::Lake).await?;
        Ok(JoinedLake { seconds, usage, is_whole: self.has_each_once(suite, events).await? })
    }

    /// A contract that asks nothing, and rules of quality that score nothing.
    fn no_rules(&self) -> Result<(PathBuf, PathBuf), Error> {
        let (folder, quality) = (self.folder.join("contracts"), self.folder.join("quality.yaml"));
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let contract = folder.join("silver.events.yaml");
        std::fs::write(&contract, NO_RULES).map_err(Error::file(&contract))?;
        std::fs::write(&quality, NO_QUALITY).map_err(Error::file(&quality))?;
        Ok((folder, quality))
    }

    /// Whether both tables have as many events as were sent, and each of them once.
    async fn has_each_once(&self, suite: &Suite, events: u64) -> Result<bool, Error> {
        let mut is_true = true;
        for table in WHOLE {
            let question = format!("select count(*) as rows, count(distinct id) as ids from {table}");
            let answer = ask(suite, &question).await?;
            let row = &answer["rows"][0];
            if (number(&row["rows"]), number(&row["ids"])) != (Some(events), Some(events)) {
                self.journal.note(format_args!("{table} should have {events} events, and has {row}"));
                is_true = false;
            }
        }
        Ok(is_true)
    }
}

/// Waits until both tables have all events, by the counters of a lake that has begun with none. Whether each is there
/// once is asked behind what is measured.
async fn taken_in(suite: &Suite, events: u64) -> Result<(), Error> {
    let (begun, mut last) = (Instant::now(), String::new());
    while begun.elapsed() < SETTLED {
        let mut rows = [0.0; 2];
        for (rows, table) in rows.iter_mut().zip(WHOLE) {
            let name = format!("tidemill_lake_rows_total{{table=\"{table}\"}}");
            // It answers once it has begun.
            *rows = suite.gauge(Service::Lake, &name).await.unwrap_or_default();
        }
        if rows.iter().all(|rows| *rows >= float(events)) {
            return Ok(());
        }
        last = format!("{rows:?} rows of {events} in {WHOLE:?}");
        sleep(POLL).await;
    }
    Err(Error::Deadline { what: "all events are in the lake".into(), deadline: SETTLED, last })
}

/// Large numbers may be told as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// An answer of the lake, with `rows` of objects.
pub(super) async fn ask(suite: &Suite, question: &str) -> Result<Value, Error> {
    let told = |error: reqwest::Error| Error::Program { program: Service::Lake.binary(), reason: error.to_string() };
    let url = format!("http://{}/v1/sql", suite.address(Service::Lake)?);
    let asked = reqwest::Client::new().post(url).json(&json!({"sql": question, "format": "json"}));
    let answer = asked.send().await.and_then(reqwest::Response::error_for_status).map_err(told)?;
    answer.json().await.map_err(told)
}

/// Tables with their logs, as they are on the disk.
fn bytes_per_event(lake: &Path, sent: u64, events: u64) -> BTreeMap<String, f64> {
    let of_table = |table: &str| {
        let folder = lake.join(table.replace('.', "/"));
        (table.to_owned(), rounded(float(folder_bytes(&folder)) / float(events)))
    };
    let sent = ("sent".to_owned(), rounded(float(sent) / float(events)));
    TABLES.into_iter().map(of_table).chain([sent]).collect()
}
