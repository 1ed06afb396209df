//! Measures the suite as separate processes, on servers that sync, and checks
//! every number on the way.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tidemill::profile::SuiteProfile;
use tidemill_tests::{
    Service,
    bench::{
        self, AnswerTimes, Growth, GrowthPoint, LakeFigures, LakeViewsFigures, LatencyFigures, NexmarkFigures, Options,
        PatternLoad, PatternRun, Quantiles, RecommendFigures, RecommendLoad, ReplayFigures, StoreKind,
    },
    shop,
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
        tidemill-bench-suite --lake-views            gold of 90 days, beside DuckDB\n  \
        tidemill-bench-suite --latency 5000 --latency 20000   how soon numbers are seen, at these rates\n  \
        tidemill-bench-suite --replay                a replay of the log, alone and beside live events\n  \
        tidemill-bench-suite --patterns              the four architectures, with Online Retail where it is\n  \
        tidemill-bench-suite --patterns --lines 5000 --times 1,10 --gold-seconds 5   a small one"
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
    /// Measure latencies at so many events a second, in a suite of its own; in place of
    /// all else. May be given several times
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(10..=1_000_000),
        conflicts_with_all = ["keep", "draw", "grow", "nexmark", "recommend", "lake"])]
    latency: Vec<u64>,
    /// Measure the four architectures, each with the same workload; in place of all else.
    /// With --keep, figures and picture are kept beside the history
    #[arg(long, conflicts_with_all = ["draw", "grow", "nexmark", "recommend", "lake"])]
    patterns: bool,
    #[command(flatten)]
    pattern: PatternArguments,
    /// Have the lake compute gold of so many events over 90 days, and DuckDB the same metrics
    /// over the same files; in place of all else
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_missing_value = "2000000",
        value_parser = clap::value_parser!(u64).range(1_000..=100_000_000),
        conflicts_with_all = ["keep", "draw", "grow", "nexmark", "recommend", "lake"])]
    lake_views: Option<u64>,
    /// Replay a log of so many events alone, cut over to it and back, and replay it beside
    /// live events; in place of all else
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_missing_value = "2000000",
        value_parser = clap::value_parser!(u64).range(1_000..=100_000_000),
        conflicts_with_all = ["keep", "draw", "grow", "nexmark", "recommend", "lake", "lake_views"])]
    replay: Option<u64>,
    /// Live events a second beside a replay
    #[arg(long, value_name = "EVENTS", default_value_t = 5_000, requires = "replay",
        value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    live: u64,
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

/// What is asked of --patterns.
#[derive(Debug, clap::Args)]
struct PatternArguments {
    /// The data set (CSV, or CSV compressed with zstd) [default: Online Retail beside the
    /// checkout, else made lines]
    #[arg(long, value_name = "FILE", requires = "patterns")]
    data: Option<PathBuf>,
    /// So many of its lines [default: all; 100,000 made ones]
    #[arg(long, value_name = "N", requires = "patterns")]
    lines: Option<usize>,
    /// How often each line is sent: a run for each number
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10], requires = "patterns",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    times: Vec<u32>,
    /// The profiles
    #[arg(long, value_name = "PROFILE", value_enum, value_delimiter = ',', requires = "patterns",
        default_values_t = [SuiteProfile::Kappa, SuiteProfile::Lambda, SuiteProfile::Medallion, SuiteProfile::Full])]
    profiles: Vec<SuiteProfile>,
    /// Events that are timed one by one
    #[arg(long, value_name = "N", default_value_t = 20, requires = "patterns",
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    probes: u32,
    /// Seconds between two computations of gold: by default as the lake has it
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "patterns",
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    gold_seconds: u32,
}

impl PatternArguments {
    fn load(self) -> PatternLoad {
        let Self { data, lines, times, profiles, probes, gold_seconds } = self;
        PatternLoad { data: data.or_else(shop::shared_data_set), lines, times, profiles, probes, gold_seconds }
    }
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
        latency,
        patterns,
        pattern,
        lake_views,
        replay,
        live,
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
    let kept = history.with_file_name("patterns.json");
    let keep = keep.then_some(history);
    let with = with(recommend || patterns, lake.or(lake_views).is_some() || patterns);
    let options = Options { store, seconds, folder, keep, keep_folder, with };
    if patterns {
        let keep = options.keep.is_some().then_some(&*kept);
        return compared(bench::patterns(&options, &pattern.load(), keep).await);
    }
    if let Some(events) = lake {
        return joined(bench::lake(&options, events).await);
    }
    if !latency.is_empty() {
        return timed(bench::latency(&options, &latency).await);
    }
    if let Some(events) = lake_views {
        return viewed(bench::lake_views(&options, events).await);
    }
    if let Some(events) = replay {
        return replayed(bench::replay(&options, events, live).await);
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

/// Services beside those that every event goes through.
fn with(recommendation: bool, lake: bool) -> Vec<Service> {
    let recommendation = recommendation.then_some(Service::Recommendation);
    recommendation.into_iter().chain(lake.then_some(Service::Lake)).collect()
}

/// Tells what the architectures came to; the last line is JSON.
fn compared(run: Result<PatternRun, impl std::fmt::Display>) -> ExitCode {
    let run = match run {
        Ok(run) => run,
        Err(error) => return failed(error),
    };
    println!("{}", run.table());
    match serde_json::to_string(&run) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if run.is_good() { ExitCode::SUCCESS } else { failed("a number is wrong") }
}

/// Tells what a run came to, to a person and then as one line of JSON. `wrong` says what it means
/// where it is not good.
fn reported<T: serde::Serialize>(
    figures: Result<T, impl std::fmt::Display>,
    show: impl Fn(&T),
    is_good: impl Fn(&T) -> bool,
    wrong: &str,
) -> ExitCode {
    let figures = match figures {
        Ok(figures) => figures,
        Err(error) => return failed(error),
    };
    show(&figures);
    match serde_json::to_string(&figures) {
        Ok(line) => println!("{line}"),
        Err(error) => return failed(error),
    }
    if is_good(&figures) { ExitCode::SUCCESS } else { failed(wrong) }
}

/// What recommendation came to.
fn recommended(figures: Result<RecommendFigures, impl std::fmt::Display>) -> ExitCode {
    let show = |figures: &RecommendFigures| {
        for (what, times) in [("all answers", &figures.answers_ms), ("visits", &figures.visits_ms)] {
            if let Some(AnswerTimes { p50, p90, p99, p999, max, count }) = times {
                println!(
                    "{what}: p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, worst {max:.1} ({count})"
                );
            }
        }
    };
    reported(figures, show, RecommendFigures::is_good, "an answer is wrong, or missing")
}

/// What the lake came to.
fn joined(figures: Result<LakeFigures, impl std::fmt::Display>) -> ExitCode {
    let is_good = |figures: &LakeFigures| figures.equals_truth && figures.balanced;
    reported(figures, |_| {}, is_good, "an event is missing, or twice")
}

/// What gold came to.
fn viewed(figures: Result<LakeViewsFigures, impl std::fmt::Display>) -> ExitCode {
    reported(figures, |_| {}, |figures| figures.equals_truth, "gold differs, or an event is missing")
}

/// What a replay came to.
fn replayed(figures: Result<ReplayFigures, impl std::fmt::Display>) -> ExitCode {
    let show = |figures: &ReplayFigures| {
        let ReplayFigures { events, seconds, events_per_s, cutover_ms, rollback_ms, p99_ratio, .. } = figures;
        println!("{events} events in {seconds:.2} s, {events_per_s:.0} events/s");
        println!("cutover seen after {cutover_ms:.0} ms, rollback after {rollback_ms:.0} ms");
        if let Some(ratio) = p99_ratio {
            println!("live p99 beside a replay: {ratio:.2} times that before");
        }
    };
    let is_good = |figures: &ReplayFigures| figures.equals_truth && figures.balanced;
    reported(figures, show, is_good, "a total is wrong, or the books do not balance")
}

/// What latencies came to.
fn timed(figures: Result<Vec<LatencyFigures>, impl std::fmt::Display>) -> ExitCode {
    let show = |figures: &Vec<LatencyFigures>| {
        for LatencyFigures { rate, visible_ms, slack_ms, cores, .. } in figures {
            for (what, times) in [("visible", visible_ms), ("Slack", slack_ms)] {
                if let Some(Quantiles { p50, p95, p99, max, count, .. }) = times {
                    println!("{rate} events/s: {what} p50 {p50} ms, p95 {p95}, p99 {p99}, worst {max} ({count})");
                }
            }
            println!("{rate} events/s: {} cores", cores.get("total").copied().unwrap_or_default());
        }
    };
    let is_good = |all: &Vec<LatencyFigures>| all.iter().all(|figures| figures.balanced && figures.equals_truth);
    reported(figures, show, is_good, "a total is wrong, or the books do not balance")
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
