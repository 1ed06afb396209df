//! Measures the suite as separate processes, on servers that sync, and checks
//! every number on the way.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tidemill_tests::{
    Service,
    bench::{
        self, AnswerTimes, Growth, GrowthPoint, LakeFigures, LakeViewsFigures, NexmarkFigures, Options,
        RecommendFigures, RecommendLoad, StoreKind,
    },
};

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
        tidemill-bench-suite --nexmark               Nexmark's queries\n  \
        tidemill-bench-suite --recommend --seconds 60   recommendation under questions and events\n  \
        tidemill-bench-suite --lake                  bronze and silver of a lake that joins\n  \
        tidemill-bench-suite --lake-views            gold of 90 days, beside DuckDB"
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
    /// Ask recommendation at a fixed rate while it learns, and check its answers; in place
    /// of all else
    #[arg(long, conflicts_with_all = ["keep", "draw", "grow", "nexmark"])]
    recommend: bool,
    /// Sessions that recommendation has learnt before it is asked
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "recommend",
        value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    sessions: u64,
    /// Items that they are about
    #[arg(long, value_name = "N", default_value_t = 100_000, requires = "recommend",
        value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    items: u64,
    /// Questions a second
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "recommend",
        value_parser = clap::value_parser!(u64).range(1..=100_000))]
    asked: u64,
    /// Events a second that are learnt meanwhile
    #[arg(long, value_name = "N", default_value_t = 5_000, requires = "recommend",
        value_parser = clap::value_parser!(u64).range(1..=100_000))]
    ingested: u64,
    /// Have the lake join a suite with so many events in its log, and measure what bronze
    /// and silver take; in place of all else
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_missing_value = "1000000",
        value_parser = clap::value_parser!(u64).range(1_000..=100_000_000),
        conflicts_with_all = ["keep", "draw", "grow", "nexmark", "recommend"])]
    lake: Option<u64>,
    /// Have the lake compute gold of so many events over 90 days, and DuckDB the same metrics
    /// over the same files; in place of all else
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_missing_value = "2000000",
        value_parser = clap::value_parser!(u64).range(1_000..=100_000_000),
        conflicts_with_all = ["keep", "draw", "grow", "nexmark", "recommend", "lake"])]
    lake_views: Option<u64>,
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
    let arguments = Arguments::parse();
    let load = RecommendLoad {
        sessions: arguments.sessions,
        items: arguments.items,
        asked_per_s: arguments.asked,
        ingested_per_s: arguments.ingested,
    };
    let Arguments {
        store,
        seconds,
        folder,
        keep,
        history,
        grow,
        nexmark,
        recommend,
        lake,
        lake_views,
        curves,
        draw,
        keep_folder,
        ..
    } = arguments;
    if draw {
        return match bench::draw(&history) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error),
        };
    }
    let keep = keep.then_some(history);
    let with = recommend.then_some(Service::Recommendation).or(lake.or(lake_views).map(|_| Service::Lake));
    let options = Options { store, seconds, folder, keep, keep_folder, with };
    if let Some(events) = lake {
        return joined(bench::lake(&options, events).await);
    }
    if let Some(events) = lake_views {
        return viewed(bench::lake_views(&options, events).await);
    }
    if recommend {
        return recommended(bench::recommend(&options, load).await);
    }
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

/// Tells what recommendation came to; the last line is JSON.
fn recommended(figures: Result<RecommendFigures, impl std::fmt::Display>) -> ExitCode {
    let figures = match figures {
        Ok(figures) => figures,
        Err(error) => return failed(error),
    };
    for (what, times) in [("all answers", figures.answers_ms), ("visits", figures.visits_ms)] {
        if let Some(AnswerTimes { p50, p90, p99, p999, max, count }) = times {
            println!("{what}: p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, worst {max:.1} ({count})");
        }
    }
    match serde_json::to_string(&figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if figures.is_good() { ExitCode::SUCCESS } else { failed("an answer is wrong, or missing") }
}

/// Tells what the lake came to; the last line is JSON.
fn joined(figures: Result<LakeFigures, impl std::fmt::Display>) -> ExitCode {
    let figures = match figures {
        Ok(figures) => figures,
        Err(error) => return failed(error),
    };
    match serde_json::to_string(&figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if figures.equals_truth && figures.balanced { ExitCode::SUCCESS } else { failed("an event is missing, or twice") }
}

/// Tells what gold came to; the last line is JSON.
fn viewed(figures: Result<LakeViewsFigures, impl std::fmt::Display>) -> ExitCode {
    let figures = match figures {
        Ok(figures) => figures,
        Err(error) => return failed(error),
    };
    match serde_json::to_string(&figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if figures.equals_truth { ExitCode::SUCCESS } else { failed("gold differs, or an event is missing") }
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
