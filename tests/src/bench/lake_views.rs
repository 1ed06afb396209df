//! Gold of a lake, beside DuckDB over the same files of silver in the same run.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemill_domain::{Clock, SystemClock, Timestamp};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::{sleep, timeout},
};

use super::{
    Bench, Options,
    generator::Load,
    held,
    machine::{Machine, rounded},
    settings::LakeOptions,
    suite::Suite,
};
use crate::{error::Error, service::Service};

/// The days that the events are of.
const DAYS: u64 = 90;
const MINUTES_OF_DAY: u64 = 24 * 60;
/// Threads of DuckDB: as many as the lake has on two cores.
const THREADS: usize = 2;
/// Beyond so many, gold has distinct values estimated, and DuckDB counts them.
const ESTIMATED_BEYOND: u64 = 1_024;
/// The program that knows DuckDB and its extension (`scripts/provision bench`).
const PYTHON: &str = "duckdb-python";
const SCRIPT: &str = include_str!("read_views.py");
/// The file that a table begins with.
const FIRST_VERSION: &str = "_delta_log/00000000000000000000.json";
/// How lines begin by which it tells how far it is.
const TOLD: &str = "told: ";
const SETTLED: Duration = Duration::from_secs(600);
/// How long DuckDB may take for all metrics, and for comparing them.
const COMPARED: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct LakeViewsFigures {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Events of the shop, over 90 days.
    pub events: u64,
    /// Tables of gold.
    pub tables: u64,
    /// Processor seconds of a lake that computes and writes all of gold, beyond those of its start.
    pub gold_cpu_s: f64,
    /// From its being ready until all is written.
    pub gold_seconds: f64,
    /// The seconds of each table among them, from the one before it: the first has the wait for its turn too.
    pub gold_seconds_of: BTreeMap<String, f64>,
    /// Processor seconds of DuckDB for the metrics among them, and their sum.
    pub duckdb_cpu_s: BTreeMap<String, f64>,
    /// The seconds of all of them.
    pub duckdb_seconds: f64,
    /// The seconds of each.
    pub duckdb_seconds_of: BTreeMap<String, f64>,
    /// How many times as many processor seconds gold takes.
    pub ratio: f64,
    /// The most memory of that lake.
    pub peak_rss_mb: f64,
    /// Cells that were compared, and those of distinct values that gold estimates and has about right.
    pub cells: u64,
    /// The latter.
    pub about: u64,
    /// Whether all others are equal, and silver has each event once.
    pub equals_truth: bool,
    /// What the machine could do.
    pub machine: Machine,
}

/// What DuckDB took for a metric, and how gold compares.
#[derive(Debug, Deserialize)]
struct ByDuckDb {
    cpu_s: f64,
    seconds: f64,
    cells: u64,
    wrong: u64,
    about: u64,
}

/// What gold took.
struct GoldUsage {
    cpu_s: f64,
    seconds: f64,
    of_tables: BTreeMap<String, f64>,
    peak_rss: u64,
}

/// Measures it.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn lake_views(options: &Options, events: u64) -> Result<LakeViewsFigures, Error> {
    held(options, async |bench| bench.lake_views(events).await).await
}

impl Bench {
    async fn lake_views(&self, events: u64) -> Result<LakeViewsFigures, Error> {
        let machine = Machine::measure(&self.folder)?;
        let mut suite = self.suite_with_lake().await?;
        suite.end(Service::Lake).await?;
        let per_minute = Some((events / (DAYS * MINUTES_OF_DAY)).max(1));
        let sent = self.generator.run(&suite, &Load { per_minute, ..super::shop_load(events) }).await?;
        self.told("90 days of the shop", &sent);
        let joined = self.joined(&suite, sent.sent).await?;
        suite.end(Service::Lake).await?;
        suite.set_lake(LakeOptions { with_gold: true, ..LakeOptions::default() })?;
        // Customers are of silver, and computed in the same turns: the first run has them done.
        suite.start_anew(Service::Lake).await?;
        gold_is_kept(&suite).await?;
        customers_are_kept(&suite).await?;
        self.journal.note(format_args!("gold and customers are computed a first time"));
        suite.end(Service::Lake).await?;
        let gold = suite.lake().join("gold");
        std::fs::remove_dir_all(&gold).map_err(Error::file(&gold))?;
        let GoldUsage { cpu_s, seconds, of_tables, peak_rss } = gold_usage(&suite).await?;
        let tables = std::fs::read_dir(&gold).map_err(Error::file(&gold))?.count() as u64;
        self.journal.note(format_args!("gold alone: {seconds:.1} s, {cpu_s:.1} processor seconds"));
        let asked = self.by_duckdb(&suite.lake(), &questions(&suite).await?).await?;
        suite.stop().await?;

        for (metric, ByDuckDb { cells, wrong, .. }) in asked.iter().filter(|(_, answer)| answer.wrong > 0) {
            self.journal.note(format_args!("gold.{metric}: {wrong} of {cells} cells are wrong"));
        }
        let sum = |of: fn(&ByDuckDb) -> f64| asked.values().map(of).sum::<f64>();
        let count = |of: fn(&ByDuckDb) -> u64| asked.values().map(of).sum::<u64>();
        let all = ("total".to_owned(), rounded(sum(|answer| answer.cpu_s)));
        let single = asked.iter().map(|(metric, answer)| (metric.clone(), rounded(answer.cpu_s)));
        Ok(LakeViewsFigures {
            store: self.store.name().into(),
            events: sent.sent,
            tables,
            gold_cpu_s: rounded(cpu_s),
            gold_seconds: rounded(seconds),
            gold_seconds_of: of_tables.into_iter().map(|(table, seconds)| (table, rounded(seconds))).collect(),
            duckdb_cpu_s: single.chain([all]).collect(),
            duckdb_seconds: rounded(sum(|answer| answer.seconds)),
            duckdb_seconds_of: asked.iter().map(|(metric, of)| (metric.clone(), rounded(of.seconds))).collect(),
            ratio: rounded(cpu_s / sum(|answer| answer.cpu_s)),
            peak_rss_mb: rounded(peak_rss as f64 / f64::from(1 << 20)),
            cells: count(|answer| answer.cells),
            about: count(|answer| answer.about),
            equals_truth: joined.is_whole
                && sent.equals_truth
                && !asked.is_empty()
                && count(|answer| answer.wrong) == 0,
            machine,
        })
    }
}

/// Has the lake compute gold, of which there is none, and nothing else.
async fn gold_usage(suite: &Suite) -> Result<GoldUsage, Error> {
    suite.start_anew(Service::Lake).await?;
    suite.ready_again(Service::Lake).await?;
    let (before, begun, since) = (suite.usage_of(Service::Lake).await?, Instant::now(), SystemClock.now());
    gold_is_kept(suite).await?;
    let (after, seconds) = (suite.usage_of(Service::Lake).await?, begun.elapsed().as_secs_f64());
    let of_tables = seconds_of_tables(&suite.lake().join("gold"), since)?;
    Ok(GoldUsage { cpu_s: after.cpu_s - before.cpu_s, seconds, of_tables, peak_rss: after.peak_rss })
}

/// How long each table of gold took: they are computed one after the other, and a table is there with its first version.
fn seconds_of_tables(gold: &Path, since: Timestamp) -> Result<BTreeMap<String, f64>, Error> {
    let mut made = Vec::new();
    for table in std::fs::read_dir(gold).map_err(Error::file(gold))? {
        let table = table.map_err(Error::file(gold))?;
        let first = table.path().join(FIRST_VERSION);
        let at = std::fs::metadata(&first).and_then(|found| found.modified()).map_err(Error::file(&first))?;
        let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3;
        made.push((millis, table.file_name().to_string_lossy().into_owned()));
    }
    made.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut before = since.millis() as f64;
    let took = |(at, table): (f64, String)| (table, (at - std::mem::replace(&mut before, at)).max(0.0) / 1e3);
    Ok(made.into_iter().map(took).collect())
}

/// Waits until a lake that was started anew has brought gold up to silver.
async fn gold_is_kept(suite: &Suite) -> Result<(), Error> {
    let begun = Instant::now();
    // It answers once it has begun.
    while suite.gauge(Service::Lake, "tidemill_lake_gold_time_seconds").await.unwrap_or_default() == 0.0 {
        if begun.elapsed() > SETTLED {
            return Err(Error::Deadline { what: "gold is kept".into(), deadline: SETTLED, last: String::new() });
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Waits until the table of customers has been computed. It may have no rows: of the shop's customers no event tells more
/// than a name.
async fn customers_are_kept(suite: &Suite) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let last = match tables(suite).await {
            Ok(tables) => match version_of(&tables, "silver.customers") {
                // It is made empty, as version 0.
                Some(1..) => return Ok(()),
                version => format!("version {version:?}"),
            },
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > SETTLED {
            return Err(Error::Deadline { what: "customers are kept".into(), deadline: SETTLED, last });
        }
        sleep(POLL).await;
    }
}

/// What the lake tells of its tables.
async fn tables(suite: &Suite) -> Result<Value, Error> {
    let address = suite.address(Service::Lake)?;
    let answer = reqwest::get(format!("http://{address}/v1/tables")).await.map_err(failed)?;
    answer.json().await.map_err(failed)
}

fn version_of(tables: &Value, name: &str) -> Option<u64> {
    tables["tables"].as_array()?.iter().find(|table| table["name"] == name)?["version"].as_u64()
}

#[allow(clippy::needless_pass_by_value, reason = "as results hand it over")]
fn failed(error: reqwest::Error) -> Error {
    Error::Program { program: Service::Lake.binary(), reason: error.to_string() }
}

/// What DuckDB is asked for each metric that it has words for.
async fn questions(suite: &Suite) -> Result<BTreeMap<String, String>, Error> {
    let (client, address) = (reqwest::Client::new(), suite.address(Service::Lake)?);
    let get = async |path: String| client.get(format!("http://{address}/v1/{path}")).send().await;
    let tables = tables(suite).await?;
    let names = tables["tables"].as_array().into_iter().flatten().filter_map(|table| table["name"].as_str());
    let mut questions = BTreeMap::new();
    for metric in names.filter_map(|name| name.strip_prefix("gold.")) {
        let answer = get(format!("plans/{metric}?engine=duckdb")).await.map_err(failed)?;
        // Not every table of gold is a metric's.
        if answer.status().is_success() {
            questions.insert(metric.to_owned(), answer.text().await.map_err(failed)?);
        }
    }
    Ok(questions)
}

impl Bench {
    /// Has DuckDB do the same, and compare; tells of each metric once it is done.
    async fn by_duckdb(
        &self,
        lake: &Path,
        questions: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, ByDuckDb>, Error> {
        let deadline =
            || Error::Deadline { what: "DuckDB compares gold".into(), deadline: COMPARED, last: String::new() };
        timeout(COMPARED, self.ask_duckdb(lake, questions)).await.unwrap_or_else(|_| Err(deadline()))
    }

    async fn ask_duckdb(
        &self,
        lake: &Path,
        questions: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, ByDuckDb>, Error> {
        let failed = |reason: String| Error::Program { program: PYTHON.into(), reason };
        let question =
            json!({"root": lake, "threads": THREADS, "estimated_beyond": ESTIMATED_BEYOND, "questions": questions});
        let mut child = Command::new(PYTHON)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::program(PYTHON))?;
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it takes nothing".into()));
        };
        stdin.write_all(question.to_string().as_bytes()).await.map_err(Error::program(PYTHON))?;
        drop(stdin);
        let (mut lines, mut wrong, mut answer) = (BufReader::new(stderr).lines(), Vec::new(), Vec::new());
        while let Some(line) = lines.next_line().await.map_err(Error::program(PYTHON))? {
            match line.strip_prefix(TOLD) {
                Some(told) => self.journal.note(format_args!("DuckDB: {told}")),
                None => wrong.push(line),
            }
        }
        // It tells its answer, which is one line, at its end.
        stdout.read_to_end(&mut answer).await.map_err(Error::program(PYTHON))?;
        match child.wait().await.map_err(Error::program(PYTHON))?.success() {
            true => serde_json::from_slice(&answer).map_err(|error| failed(error.to_string())),
            false => Err(failed(wrong.join("\n"))),
        }
    }
}
