//! The chaos run: the suite as separate processes, several replicas of each
//! service, real servers, clients that retry and repeat themselves, and a
//! seeded schedule of faults. Afterwards every number equals the truth, or the
//! run has failed.
//!
//! A seed means the same faults, traffic and repetitions, whatever the timing.
//!
//! - [`Plan`]: which faults (`fault.rs`) a seed means (`schedule.rs`), and how they are
//!   made (`faults.rs`) to processes (`processes.rs`), servers (`nats.rs`,
//!   `postgres.rs`) and the network (`proxy.rs`)
//! - what is sent, who sends it and what must come of it: `crate::shop`
//! - what did come of it: [`Verdict`], by reporting, by recommendation
//!   (`recommendations.rs`), by the lake's tables (`lake.rs`) and by a generation that was
//!   counted beside the run (`replays.rs`)

mod fault;
mod faults;
mod forgetting;
mod held;
mod influx;
mod lake;
mod log;
mod nats;
mod proxy;
mod recommendations;
mod replays;
mod replicas;
mod schedule;
mod settings;
mod suite;
mod verdict;
mod watch;

use std::path::PathBuf;

use clap::ValueEnum;

pub use fault::Kind;
pub use replicas::Replicas;
pub use schedule::Plan;
pub use verdict::Verdict;

pub use crate::{error::Error, local::postgres::is_installed_for, service::Service, shop::shared_data_set};

use crate::{journal::Journal, local::binaries::is_built};

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
        let mut command =
            format!("tidemill-chaos --seed {} --faults {} --replicas {}", self.seed, self.faults, self.replicas.text());
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

    /// The same without the lake, where it cannot be run or its tables cannot be read.
    fn as_far_as_built(&self, journal: &Journal) -> Self {
        let mut options = self.clone();
        let reason = match (is_built(Service::Lake), lake::can_be_read()) {
            (true, true) => return options,
            (false, _) => "tidemill-lake is not built: cargo build --package tidemill-lake",
            (_, false) => "DuckDB is not there: scripts/provision test",
        };
        if options.replicas.lake > 0 {
            journal.note(format_args!("SKIPPED the lake: {reason}"));
            options.replicas.lake = 0;
        }
        options
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
    let options = &options.as_far_as_built(&journal);
    journal.note(format_args!("{} faults, seed {}, in {}", options.faults, options.seed, folder.display()));
    let plan_file = folder.join("plan.txt");
    std::fs::write(&plan_file, options.plan().to_string()).map_err(Error::file(plan_file))?;
    let result = tokio::select! {
        result = held::hold(options, &folder, &journal) => result,
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
