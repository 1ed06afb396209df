//! The commands and their arguments.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use url::Url;

use crate::commands;

/// Real-time analytics for shops: events in, live numbers, alerts and traces
/// out.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill",
    version,
    after_help = "Examples:\n  \
        tidemill up                                   run everything on this machine\n  \
        tidemill demo --events 50000 --exit           play a flash sale and check the books\n  \
        tidemill import online-retail retail.csv.zst --out results\n  \
        tidemill books --reporting-url http://localhost:7080"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every service on this machine, with a real NATS, until Ctrl-C
    Up(Up),
    /// Run every service and play a flash sale
    Demo(Demo),
    /// Send a data set through the suite and read the result back
    Import(Import),
    /// Show whether every event received is accounted for
    Books(Books),
}

/// Where the all-in-one keeps its data and listens.
#[derive(Debug, Clone, Args)]
pub struct Local {
    /// Folder for the log and every store; a temporary one without it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of ingestion (0 takes a free one); those of enrichment,
    /// aggregation and alert follow it
    #[arg(long, default_value_t = 7070)]
    pub port: u16,
    /// Port of the dashboard and the reporting API
    #[arg(long, default_value_t = 7080)]
    pub reporting_port: u16,
    /// Port of the Jaeger UI
    #[arg(long, default_value_t = 16686)]
    pub jaeger_port: u16,
    /// Slack incoming webhook that alerts go to
    #[arg(long, env = "TIDEMILL_SLACK__WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub slack_webhook: Option<String>,
    /// MMDB file with countries by address
    #[arg(long, env = "TIDEMILL_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,
    /// Share of requests that are traced, 0 to 1
    #[arg(long, default_value_t = 0.05)]
    pub sample_ratio: f64,
    /// Log filter, for instance info or warn,tidemill_alert=debug
    #[arg(long, default_value = "warn")]
    pub log: String,
}

/// `tidemill up`
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    pub(crate) local: Local,
}

/// `tidemill demo`
#[derive(Debug, Args)]
#[command(
    after_help = "With --exit the last line is one JSON object, and the exit code is 0 only if the books balance:\n  \
    tidemill demo --events 50000 --exit | tail -1"
)]
pub struct Demo {
    /// Events to play, broken ones and repetitions included
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    pub events: u32,
    /// End when the books balance, instead of going on until Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// Seed of the play: the same one gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// `tidemill import`
#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    pub(crate) what: Dataset,
}

/// Data sets that can be imported.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Online Retail (UCI data sets 352 and 502): the invoice lines of a UK shop
    OnlineRetail(OnlineRetail),
}

/// `tidemill import online-retail`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill import online-retail online_retail.csv.zst --out results\n  \
    tidemill import online-retail online_retail.csv --out results --url http://localhost:7070")]
pub struct OnlineRetail {
    /// The file: CSV, or CSV compressed with zstd
    pub file: PathBuf,
    /// Folder for daily_country.csv; made where it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Ingestion of a suite that is running; without it one is started for
    /// the import
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// Reporting of that suite; without it port 7080 of the same host
    #[arg(long, value_name = "URL", requires = "url")]
    pub reporting_url: Option<Url>,
    /// Write key of that suite
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// Events in a request
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
}

/// `tidemill books`
#[derive(Debug, Args)]
pub struct Books {
    /// Reporting of the suite
    #[arg(long, default_value = "http://localhost:7080", value_name = "URL")]
    pub reporting_url: Url,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Runs a command. Exit codes: 0 done, 1 failed.
pub async fn run(arguments: Arguments) -> ExitCode {
    tidemill_service::install_crypto();
    let result = match arguments.command {
        Command::Up(up) => commands::up(up).await,
        Command::Demo(demo) => crate::demo::run(demo).await,
        Command::Import(Import { what: Dataset::OnlineRetail(import) }) => commands::import(import).await,
        Command::Books(books) => commands::books(books).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tidemill: {error}");
            ExitCode::FAILURE
        }
    }
}
