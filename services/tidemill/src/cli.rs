//! The command line: which commands there are, and how one is run.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use tidemill_service::Printable;

use crate::{
    arguments::{
        AlertArguments, BenchArguments, BooksArguments, CheckArguments, ChooseArguments, Dataset, DemoArguments,
        DlqArguments, DriftArguments, ImportArguments, InitArguments, KeysArguments, LakeArguments, LineageArguments,
        NatsArguments, RecommendArguments, ReplayArguments, SqlArguments, UpArguments, with_dimensions,
    },
    bench, commands, demo, out,
};

/// Real-time analytics for shops: events in, live numbers, alerts and traces
/// out.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill",
    version,
    after_help = "Examples:\n  \
        tidemill up                                   run everything on this machine\n  \
        tidemill init                                 write tidemill.toml, its settings\n  \
        tidemill choose --latency seconds --team 4    find out which part of it fits\n  \
        tidemill demo --events 50000 --exit           play a flash sale and check the books\n  \
        tidemill import online-retail retail.csv.zst --out results\n  \
        tidemill check --ingestion-url http://localhost:7070\n  \
        tidemill bench --ingestion-url http://localhost:7070 --rate 2000 --duration 60\n  \
        tidemill books --reporting-url http://localhost:7080 --hours\n  \
        tidemill dlq list --code schema_violation --since 2h\n  \
        tidemill sql \"select * from daily_metrics\"   ask the lake, where one runs\n  \
        tidemill recommend evaluate train.txt --test test.txt\n\n\
        Exit codes:\n  \
        0  done\n  \
        1  failed\n  \
        2  wrong arguments\n  \
        3  the books do not balance, or not yet; a number is not what its rows come to\n  \
        4  the suite cannot be reached"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

impl Arguments {
    /// Reads the process's command line, and ends the process where it is wrong.
    pub fn read() -> Self {
        Self::of(std::env::args_os())
    }

    /// Reads a command line, which begins with the program's name, and ends the process where it is wrong.
    pub fn of(line: impl IntoIterator<Item = OsString>) -> Self {
        Self::parse_from(with_dimensions(line))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every service on this machine, with a real NATS, until Ctrl-C
    Up(UpArguments),
    /// Write tidemill.toml, the settings of `tidemill up`, with comments
    Init(InitArguments),
    /// Run every service and play a flash sale
    Demo(DemoArguments),
    /// Send a data set through the suite and read the result back
    Import(ImportArguments),
    /// Send an event through a running suite and wait for its total
    Check(CheckArguments),
    /// Find out which part of the suite fits, and how to run it
    Choose(ChooseArguments),
    /// Load a suite at a fixed rate, and check its totals
    Bench(BenchArguments),
    /// Show whether every event received is accounted for
    Books(BooksArguments),
    /// List, show, redrive and discard dead letters
    Dlq(DlqArguments),
    /// Ask the lake a question in SQL
    Sql(SqlArguments),
    /// List the lake's tables and their quality, print how a metric is computed from them, make them anew, compute
    /// batch views, and take events out of the quarantine
    Lake(LakeArguments),
    /// Trace a number back to its events, and add them up again
    Lineage(LineageArguments),
    /// Measure recommendations on a file of sessions, or compare variants of an experiment
    Recommend(RecommendArguments),
    /// Show where the stream and the lake's batch views differ
    Drift(DriftArguments),
    /// Count the log once more beside the live totals, compare, and cut over or roll back
    Replay(ReplayArguments),
    /// Try alert rules out over the log, beside the alerts that were raised
    Alert(AlertArguments),
    /// Make a key, or the entry that services keep of one
    Keys(KeysArguments),
    /// Print where the NATS of a running suite is, with its password
    Nats(NatsArguments),
}

/// Runs a command. The help lists the exit codes.
pub fn run(arguments: Arguments) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(execute(arguments)),
        Err(error) => {
            tell!("tidemill: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> ExitCode {
    tidemill_service::install_crypto();
    tidemill_service::raise_limit();
    let result = match arguments.command {
        Command::Up(up) => commands::up(up).await,
        Command::Init(init) => commands::init(&init),
        Command::Demo(demo) => demo::run(demo).await,
        Command::Import(ImportArguments { what: Dataset::OnlineRetail(import) }) => commands::import(import).await,
        Command::Check(check) => commands::check(check).await,
        Command::Choose(choose) => commands::choose(&choose),
        Command::Bench(bench) => bench::run(bench).await,
        Command::Books(books) => commands::books(books).await,
        Command::Dlq(dlq) => commands::dlq(dlq).await,
        Command::Sql(sql) => commands::sql(sql).await,
        Command::Lake(lake) => commands::lake(lake).await,
        Command::Lineage(lineage) => commands::lineage(lineage).await,
        Command::Recommend(recommend) => commands::recommend(recommend).await,
        Command::Drift(drift) => Ok(commands::drift(drift).await),
        Command::Replay(replay) => commands::replay(replay).await,
        Command::Alert(alert) => Ok(commands::alert(alert).await),
        Command::Keys(keys) => commands::keys(keys),
        Command::Nats(nats) => commands::nats(nats),
    };
    let (told, code) = match (result, out::failure()) {
        (Ok(code), None) => return code,
        (Ok(_), Some(error)) => (format!("standard output: {error}"), ExitCode::FAILURE),
        (Err(error), _) => commands::failed(&*error),
    };
    // It may hold what a server said.
    tell!("tidemill: {}", Printable(told));
    code
}
