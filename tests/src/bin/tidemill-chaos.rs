//! Kills, holds, cuts off and restarts every part of a suite while a shop
//! trades, and then compares every number with the truth.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tidemill_tests::chaos::{self, Kind, Options, Replicas, Service};

/// Kill, hold, cut off and restart every part of a suite while a shop trades,
/// and compare every number with the truth.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill-chaos",
    version,
    after_help = "The last line on standard output is one JSON object. `sent` counts distinct events, and is\n\
        counted + late + dead_lettered where nothing is lost; `received` is what reached the log, and is\n\
        counted + late + duplicate + dead letters. The exit code is 0 only if nothing is lost, nothing is\n\
        twice, the books balance and every number equals the truth.\n\n\
        It needs nats-server and PostgreSQL, and the services' programs beside it:\n  \
        cargo build --workspace --bins\n\n\
        Examples:\n  \
        tidemill-chaos                                   240 faults, all of Online Retail\n  \
        tidemill-chaos --seed 7 --faults 20 --lines 20000\n  \
        tidemill-chaos --seed 7 --faults 20 --plan       print the faults alone\n  \
        tidemill-chaos --only kill,pause --faults 50     these kinds alone\n  \
        tidemill-chaos --replicas 1 --faults 0 --lines 5000 --keep\n  \
        TIDEMILL_INFLUXD=/usr/bin/influxd tidemill-chaos write points to a real InfluxDB"
)]
struct Arguments {
    /// Seed of faults, repetitions and made lines: the same one means the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults
    #[arg(long, default_value_t = 240)]
    faults: usize,
    /// Kinds of faults [default: all]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    only: Vec<Kind>,
    /// Invoice lines: the first ones of the data set [default: all of them]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    lines: Option<u32>,
    /// Processes of each service: one number, or seven for ingestion,
    /// enrichment, aggregation, alert, reporting, recommendation and the lake;
    /// 0 leaves out one of the last two
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2,3,3,2,2,2,2")]
    replicas: Vec<u8>,
    /// Online Retail: CSV, or CSV compressed with zstd [default: the one
    /// beside the checkout, else lines are made]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Keep the run's folder with all logs, however the run ends
    #[arg(long)]
    keep: bool,
    /// Print the faults and end
    #[arg(long)]
    plan: bool,
}

impl Arguments {
    fn options(self) -> Result<Options, String> {
        let replicas = Replicas::given(&self.replicas).ok_or("--replicas takes one number or seven")?;
        if Service::CHAIN.into_iter().any(|service| replicas.of(service) == 0) {
            return Err("--replicas: all but recommendation and the lake need one".into());
        }
        let lines = self.lines.map(usize::try_from).transpose().map_err(|e| e.to_string())?;
        let data = self.data.or_else(chaos::shared_data_set);
        Ok(Options { seed: self.seed, faults: self.faults, only: self.only, lines, replicas, data, keep: self.keep })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan_only = arguments.plan;
    let options = match arguments.options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("tidemill-chaos: {error}");
            return ExitCode::from(2);
        }
    };
    if plan_only {
        print!("{}", options.plan());
        return ExitCode::SUCCESS;
    }
    let verdict = match chaos::run(&options).await {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("tidemill-chaos: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serde_json::to_string(&verdict) {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("tidemill-chaos: {error}");
            return ExitCode::FAILURE;
        }
    }
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
