//! The chaos run: the suite as separate processes, several replicas of each
//! service, real servers, clients that retry and repeat themselves, and a
//! seeded schedule of faults. Afterwards every number equals the truth, or the
//! run has failed.
//!
//! A seed means the same faults, traffic and repetitions, whatever the timing.
//!
//! - [`Plan`]: which faults a seed means (`schedule.rs`), and how they are made
//!   (`faults.rs`) to processes (`processes.rs`), servers (`nats.rs`,
//!   `postgres.rs`) and the network (`proxy.rs`)
//! - what is sent, who sends it and what must come of it: `crate::shop`
//! - what did come of it: [`Verdict`]

mod faults;
mod influx;
mod nats;
mod proxy;
mod replicas;
mod schedule;
mod settings;
mod suite;
mod verdict;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
use tidemill_domain::{Clock, SystemClock};
use tokio::{task::JoinSet, time::Instant};

pub use replicas::Replicas;
pub use schedule::{Kind, Plan};
pub use verdict::Verdict;

pub use crate::{error::Error, local::postgres::is_installed_for, service::Service, shop::shared_data_set};

use self::suite::Suite;
use crate::{
    journal::Journal,
    shop::{
        self,
        reader::{Reader, Reading},
        till::{Pace, Tally, Till},
        traffic::{Expected, Traffic},
    },
};

/// Lines that are made where there is no data set and no number is given.
const GENERATED_LINES: usize = 200_000;
/// The most events of a batch.
const LARGEST_BATCH: usize = 900;

/// What a run is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of faults, repetitions and made lines.
    pub seed: u64,
    /// How many faults.
    pub faults: usize,
    /// Of which kinds; of all where none is named.
    pub only: Vec<Kind>,
    /// How many invoice lines: the first ones of the data set; all without it.
    pub lines: Option<usize>,
    /// How many processes each service has.
    pub replicas: Replicas,
    /// Online Retail, as CSV or CSV compressed with zstd; lines are made
    /// without it.
    pub data: Option<PathBuf>,
    /// Whether the run's folder stays where the run was good, too.
    pub keep: bool,
}

impl Options {
    /// Its faults.
    pub fn plan(&self) -> Plan {
        let influx = std::env::var_os("TIDEMILL_INFLUXD").is_some();
        Plan::new(self.seed, self.faults, &self.only, self.replicas, influx)
    }

    /// The command that repeats the run.
    pub fn command(&self) -> String {
        let Replicas { ingestion, enrichment, aggregation, alert, reporting } = self.replicas;
        let mut command = format!(
            "tidemill-chaos --seed {} --faults {} \
             --replicas {ingestion},{enrichment},{aggregation},{alert},{reporting}",
            self.seed, self.faults
        );
        let names: Vec<String> =
            self.only.iter().filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned())).collect();
        if !names.is_empty() {
            command.push_str(&format!(" --only {}", names.join(",")));
        }
        if let Some(lines) = self.lines {
            command.push_str(&format!(" --lines {lines}"));
        }
        if let Some(data) = &self.data {
            command.push_str(&format!(" --data {}", data.display()));
        }
        command
    }
}

/// Holds a run. Its folder is removed where the run was good; else it stays,
/// and the journal says where.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn run(options: &Options) -> Result<Verdict, Error> {
    tidemill_service::install_crypto();
    let folder = std::env::temp_dir().join(format!("tidemill-chaos-{}-{}", options.seed, std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let journal = Journal::new(&folder)?;
    journal.note(format_args!("{} faults, seed {}, in {}", options.faults, options.seed, folder.display()));
    let plan_file = folder.join("plan.txt");
    std::fs::write(&plan_file, options.plan().to_string()).map_err(Error::file(plan_file))?;
    let result = tokio::select! {
        result = hold(options, &folder, &journal) => result,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    };
    journal.finish();
    let is_good = result.as_ref().is_ok_and(Verdict::is_good);
    if let Ok(verdict) = &result {
        let file = folder.join("verdict.json");
        let text = serde_json::to_string_pretty(verdict).map_err(Error::file(&file))?;
        std::fs::write(&file, text).map_err(Error::file(&file))?;
    }
    if is_good && !options.keep {
        std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    } else {
        journal.note(format_args!("logs of everything are in {}", folder.display()));
    }
    if !is_good {
        if let Err(error) = &result {
            journal.note(format_args!("FAILED {error}"));
        }
        journal.note(format_args!("the same run again: {}", options.command()));
    }
    result
}

async fn hold(options: &Options, folder: &Path, journal: &Journal) -> Result<Verdict, Error> {
    let rows = shop::rows(options.data.as_deref(), options.lines, options.seed, GENERATED_LINES, journal)?;
    let traffic = Traffic::new(rows, SystemClock.now());
    let expected = traffic.expected()?;
    let suite = Suite::start(folder.to_owned(), options.replicas, journal.clone()).await?;
    let suite = Arc::new(suite);
    journal.note(format_args!("{} processes are ready", suite.replicas().len()));
    let mut aside = JoinSet::new();
    let (supervised, watched) = (suite.clone(), suite.clone());
    aside.spawn(async move { supervised.supervise().await });
    aside.spawn(async move { watch::counts_never_go_back(&watched).await });

    let sent = traffic.len();
    let senders = traffic.senders;
    let pace = Arc::new(Pace::new(options.faults, sent));
    journal.count_to("sending", sent);
    let doors = suite.addresses(Service::Ingestion);
    let mut tills = JoinSet::new();
    for (n, sender) in (0..).zip(senders) {
        let till = Till {
            sender,
            doors: doors.clone(),
            key: None,
            largest: LARGEST_BATCH,
            traces: None,
            pace: pace.clone(),
            journal: journal.clone(),
        };
        tills.spawn(till.run(options.seed.wrapping_mul(1_000).wrapping_add(n)));
    }
    let plan = options.plan();
    let faults = async {
        let kinds = faults::happen(&suite, &plan, &pace).await;
        pace.release_all();
        kinds
    };
    let sending = async {
        let mut tally = Tally::default();
        while let Some(ended) = tills.join_next().await {
            match ended {
                Ok(done) => tally += done?.tally,
                Err(error) => return Err(Error::program("a sender")(error)),
            }
        }
        Ok(tally)
    };
    let showing = async {
        loop {
            journal.position(pace.sent());
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
    };
    let both = async { tokio::try_join!(async { Ok(faults.await) }, sending) };
    let (by_kind, tally) = tokio::select! {
        done = both => done?,
        never = showing => never,
    };
    journal.note(format_args!(
        "all sent: {} events acknowledged, {} of them repeated on purpose, in {} requests, of which {} failed",
        tally.acknowledged, tally.repeated, tally.requests, tally.failed
    ));

    let begun = Instant::now();
    if let Err(error) = suite.ready().await {
        journal.problem(error);
    }
    let readings = readings(&suite, &expected, &tally).await?;
    let settle_seconds = begun.elapsed().as_secs_f64();
    check_slack(&suite, &expected, journal);
    // What runs aside holds the suite until it is gone.
    aside.shutdown().await;
    let ended_by_themselves = suite.ended_by_themselves();
    faults::terminate_all(&suite).await;
    match Arc::try_unwrap(suite) {
        Ok(suite) => suite.stop().await?,
        Err(_) => journal.note("the servers are still in use; they are killed"),
    }
    let first = readings.first().ok_or_else(|| Error::Refused("no replica of reporting".into()))?;
    let dead = first.dead.values().map(|ids| u64::try_from(ids.len()).unwrap_or_default()).sum();
    let totals = &first.books.totals;
    Ok(Verdict {
        seed: options.seed,
        faults: by_kind.values().sum(),
        sent,
        received: totals.received,
        counted: totals.counted,
        duplicate: totals.duplicate,
        late: totals.late,
        dead_lettered: dead,
        lost: first.difference.lost,
        double: first.difference.double,
        balanced: readings.iter().all(|reading| reading.books.balanced),
        equals_truth: readings.iter().all(|reading| reading.is_true),
        alerts: [u64::try_from(expected.suspicious.len()).unwrap_or_default(), first.alerts],
        ended_by_themselves,
        seconds: journal.elapsed().as_secs_f64(),
        settle_seconds,
        by_kind,
        problems: journal.problems(),
    })
}

/// What every replica of reporting says, once the books stand.
async fn readings(suite: &Suite, expected: &Expected, tally: &Tally) -> Result<Vec<Reading>, Error> {
    let journal = &suite.journal;
    journal.count_to("settling", tally.acknowledged);
    let mut readings: Vec<Reading> = Vec::new();
    for address in suite.addresses(Service::Reporting) {
        let reader = Reader::new(address, None, journal, expected)?;
        reader.settled(tally.acknowledged).await?;
        readings.push(reader.read(tally).await?);
    }
    if readings.windows(2).any(|pair| pair[0].daily != pair[1].daily) {
        journal.problem("replicas of reporting differ");
    }
    Ok(readings)
}

/// Every alert was told, at least once, and nothing that Slack refuses.
fn check_slack(suite: &Suite, expected: &Expected, journal: &Journal) {
    if let Some(refusal) = suite.slack.refusals().first() {
        journal.problem(format_args!("Slack refused a message: {refusal}"));
    }
    let messages: Vec<String> = suite.slack.messages().iter().map(ToString::to_string).collect();
    let untold = |customer: &&String| !messages.iter().any(|message| message.contains(customer.as_str()));
    let untold: Vec<&String> = expected.suspicious.iter().filter(untold).collect();
    if !untold.is_empty() {
        journal.problem(format_args!("{} alerts never reached Slack, for instance {:?}", untold.len(), untold[0]));
    }
}
