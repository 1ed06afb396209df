//! Measures the suite as separate processes, on servers that sync, and checks
//! every number on the way.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tidemill_tests::bench::{self, Growth, GrowthPoint, NexmarkFigures, Options, StoreKind};

/// Measure the suite as separate processes on servers that sync, and check every
/// number on the way.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill-bench-suite",
    version,
    after_help = "It measures what JetStream alone does with the same bytes, then the reference job (invoice lines by\n\
        minute, category and country; 1,000 events a request), a synthetic shop in batches and in requests of\n\
        one, and latencies at half the shop's rate. docs/performance.md says how each figure is made.\n\n\
        The last line on standard output is one JSON object. The exit code is 0 only if the books balanced\n\
        after every load, and every total was right.\n\n\
        It needs nats-server, and PostgreSQL for --store postgres; and these programs beside it:\n  \
        cargo build --release --workspace --bins\n\n\
        Examples:\n  \
        tidemill-bench-suite                         SQLite\n  \
        tidemill-bench-suite --store postgres --seconds 30\n  \
        tidemill-bench-suite --keep                  add it to docs/performance/history.jsonl\n  \
        tidemill-bench-suite --grow partitions --grow rules   what an event costs as these grow\n  \
        tidemill-bench-suite --nexmark               Nexmark's queries"
)]
struct Arguments {
    /// Where services keep what they know
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// Seconds that each measurement is to last, by and large
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Folder on the disk that is to be measured [default: that of temporary
    /// files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Add the run to the history, and draw its picture anew
    #[arg(long)]
    keep: bool,
    /// The history
    #[arg(long, value_name = "FILE", default_value = "docs/performance/history.jsonl")]
    history: PathBuf,
    /// Measure what an event costs as this grows, and keep the curve; in place of all
    /// else. May be given several times
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["keep", "draw"])]
    grow: Vec<Growth>,
    /// Measure Nexmark's queries, each in a suite of its own, and check every row; in
    /// place of all else
    #[arg(long, conflicts_with_all = ["keep", "draw", "grow"])]
    nexmark: bool,
    /// Where curves are kept
    #[arg(long, value_name = "FILE", default_value = "docs/performance/growth.json")]
    curves: PathBuf,
    /// Draw the history's picture anew, and end
    #[arg(long)]
    draw: bool,
    /// Keep the run's folder, with all logs
    #[arg(long)]
    keep_folder: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { store, seconds, folder, keep, history, grow, nexmark, curves, draw, keep_folder } =
        Arguments::parse();
    if draw {
        return match bench::draw(&history) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error),
        };
    }
    let options = Options { store, seconds, folder, keep: keep.then_some(history), keep_folder };
    if !grow.is_empty() {
        return match bench::grow(&options, &grow, &curves).await {
            Ok(points) if points.iter().all(GrowthPoint::is_good) => ExitCode::SUCCESS,
            Ok(_) => failed("a total is wrong, or the books do not balance"),
            Err(error) => failed(error),
        };
    }
    if nexmark {
        return match bench::nexmark(&options).await {
            Ok(figures) => told(&figures),
            Err(error) => failed(error),
        };
    }
    let figures = match bench::run(&options).await {
        Ok(figures) => figures,
        Err(error) => return failed(error),
    };
    println!("{}", figures.told());
    match serde_json::to_string(&figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if figures.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells what each query came to; the last line is JSON.
fn told(figures: &[NexmarkFigures]) -> ExitCode {
    for NexmarkFigures { query, events_per_s, cpu_s_per_million, disk_bytes_per_event, rows, .. } in figures {
        let parts: Vec<String> =
            cpu_s_per_million.iter().map(|(part, seconds)| format!("{part} {seconds:.1}")).collect();
        println!(
            "{:4} {events_per_s:>8.0} events/s, {rows} rows, {disk_bytes_per_event:.0} bytes an event; cpu s/M {}",
            query.name(),
            parts.join(", ")
        );
    }
    match serde_json::to_string(figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if figures.iter().all(|figures| figures.equals_truth) { ExitCode::SUCCESS } else { failed("a row is wrong") }
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("tidemill-bench-suite: {error}");
    ExitCode::FAILURE
}
