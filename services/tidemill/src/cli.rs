//! The commands and their arguments.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use tidemill_service::Printable;
use url::Url;

use crate::{commands, when::When};

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
        tidemill check --url http://localhost:7070\n  \
        tidemill books --url http://localhost:7080 --hours\n  \
        tidemill dlq list --code schema_violation --since 2h"
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
    /// Send an order through a running suite and wait for its total
    Check(Check),
    /// Show whether every event received is accounted for
    Books(Books),
    /// List, show, redrive and discard dead letters
    Dlq(Dlq),
    /// Make a key, or the entry that services keep of one
    Keys(Keys),
}

/// Where the all-in-one keeps its data and listens.
#[derive(Debug, Clone, Args)]
pub struct Local {
    /// Folder for the log and every store; a temporary one without it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with keys (files `write`, `read` and `operate`); without it
    /// whoever reaches the ports of this machine may do everything
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
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
    /// Key of that suite that may write
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// Key of that suite that may read
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub read_key: Option<String>,
    /// Events in a request
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
}

/// `tidemill check`
#[derive(Debug, Args)]
#[command(after_help = "The order is worth 0.00 and has the source tidemill-check. The exit code is 0 once the total \
    has it.\n\nExamples:\n  \
    tidemill check --url http://localhost:7070\n  \
    tidemill check --url https://events.example.org --reporting-url https://shop.example.org --json\n  \
    helm test tidemill                            does the same in a cluster")]
pub struct Check {
    /// Ingestion of the suite
    #[arg(long, default_value = "http://localhost:7070", value_name = "URL")]
    pub url: Url,
    /// Reporting of the suite; without it port 7080 of the same host
    #[arg(long, value_name = "URL")]
    pub reporting_url: Option<Url>,
    /// Key of the suite that may write; of several entries the first
    #[arg(long, env = "TIDEMILL_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,
    /// Key of the suite that may read; of several entries the first
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub read_key: Option<String>,
    /// Seconds until it has failed
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    pub timeout: u64,
    /// A metric that counts orders in windows of a minute or more
    #[arg(long, default_value = "sales_metrics", value_name = "NAME")]
    pub metric: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `tidemill books`
#[derive(Debug, Args)]
#[command(after_help = "The exit code is 0 if the books balance and 1 if they do not, or not yet.\n\nExamples:\n  \
    tidemill books --hours\n  \
    tidemill books --json | jq .totals")]
pub struct Books {
    /// Reporting of the suite
    #[arg(long, alias = "reporting-url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub url: Url,
    /// Key of the suite that may read, where it needs one
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Tell each source by hour of ingestion too
    #[arg(long)]
    pub hours: bool,
    /// Print JSON, with the hours, instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Where reporting listens unless told otherwise.
const REPORTING: &str = "http://localhost:7080";

/// `tidemill dlq`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill dlq list --service ingestion --since 2h\n  \
    tidemill dlq show 17\n  \
    tidemill dlq redrive --code unknown_type --reason 'schema added' --dry-run\n  \
    tidemill dlq redrive 17 --body mended.json\n  \
    tidemill dlq discard --source load-test --reason 'never real' --yes")]
pub struct Dlq {
    #[command(subcommand)]
    pub(crate) command: DlqCommand,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, the newest first
    #[command(after_help = "Examples:\n  \
        tidemill dlq list --state dead --code schema_violation\n  \
        tidemill dlq list --since 2026-03-01T00:00:00Z --until 1d --json | jq .dead_letters")]
    List(DlqList),
    /// Show one dead letter: why, its body, and what was done about it. What is
    /// personal in it is masked
    Show(DlqShow),
    /// Send the events of dead letters again, as they are or mended
    #[command(
        after_help = "Each event is validated by ingestion like any other. It keeps its source and id, so it is \
        counted once\nhowever often it is redriven. The exit code is 0 if every one is accepted.\n\nExamples:\n  \
        tidemill dlq redrive 17 18 19\n  \
        tidemill dlq redrive --code unknown_type --reason 'schema added' --dry-run\n  \
        tidemill dlq show 17 --unmasked --json | jq -r .body | sed 's/order.teleported/order.placed/' |\n    \
        tidemill dlq redrive 17 --body - --yes"
    )]
    Redrive(DlqRedrive),
    /// Give dead letters up for good
    #[command(after_help = "Examples:\n  \
        tidemill dlq discard 17 --reason 'a test'\n  \
        tidemill dlq discard --source load-test --reason 'never real' --yes")]
    Discard(DlqOrder),
    /// Show who had what done with which dead letter
    Audit(DlqAudit),
}

/// Which suite, and how to answer.
#[derive(Debug, Args)]
pub struct DlqTarget {
    /// Reporting of the suite
    #[arg(long, env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which dead letters.
#[derive(Debug, Clone, Default, Args)]
pub struct DlqFilter {
    /// Given up by this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// For the reason with this code
    #[arg(long)]
    pub code: Option<String>,
    /// Events of this source
    #[arg(long)]
    pub source: Option<String>,
    /// Failed since then: RFC 3339, or how long ago (90s, 15m, 2h, 7d)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<When>,
    /// Failed before then
    #[arg(long, value_name = "WHEN")]
    pub until: Option<When>,
    /// Standing there; orders go to those that are dead unless told otherwise
    #[arg(long, value_parser = ["dead", "redriving", "accepted", "failed_again", "discarded"])]
    pub state: Option<String>,
}

/// `tidemill dlq list`
#[derive(Debug, Args)]
pub struct DlqList {
    #[command(flatten)]
    pub(crate) filter: DlqFilter,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    #[command(flatten)]
    pub(crate) target: DlqTarget,
}

/// `tidemill dlq show`
#[derive(Debug, Args)]
pub struct DlqShow {
    /// Its number, as `list` gives it
    pub sequence: u64,
    /// With what is personal in it; that is written to the audit
    #[arg(long)]
    pub unmasked: bool,
    #[command(flatten)]
    pub(crate) target: DlqTarget,
}

/// `tidemill dlq redrive`
#[derive(Debug, Args)]
pub struct DlqRedrive {
    #[command(flatten)]
    pub(crate) order: DlqOrder,
    /// File with the mended event, - for standard input; with exactly one number
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// Seconds to wait until each is accepted or has failed again; 0 does not
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub wait: u64,
}

/// What is ordered for which dead letters.
#[derive(Debug, Args)]
pub struct DlqOrder {
    /// Their numbers, as `list` gives them; else a filter says which
    #[arg(value_name = "SEQUENCE")]
    pub sequences: Vec<u64>,
    #[command(flatten)]
    pub(crate) filter: DlqFilter,
    /// All that are dead
    #[arg(long, conflicts_with_all = ["sequences", "service", "code", "source", "since", "until", "state"])]
    pub all: bool,
    /// At most so many, the oldest first
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub limit: Option<u32>,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Also those that something was done about before
    #[arg(long)]
    pub force: bool,
    /// Who orders it
    #[arg(long, env = "USER", value_name = "NAME")]
    pub by: String,
    /// Why; needed to discard
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub(crate) target: DlqTarget,
}

/// `tidemill dlq audit`
#[derive(Debug, Args)]
pub struct DlqAudit {
    /// For this dead letter
    #[arg(long, value_name = "SEQUENCE")]
    pub letter: Option<u64>,
    /// Ordered by them
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub limit: u16,
    #[command(flatten)]
    pub(crate) target: DlqTarget,
}

/// `tidemill keys`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill keys new shop\n  \
    tidemill keys hash anna <key.txt >>/etc/tidemill/keys/operate")]
pub struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, and show it and its entry
    New {
        /// What the key is called in logs and in the audit
        name: String,
    },
    /// Show the entry of a key that is given on standard input
    Hash {
        /// What the key is called in logs and in the audit
        name: String,
    },
}

/// Runs a command. Exit codes: 0 done, 1 failed.
pub fn run(arguments: Arguments) -> ExitCode {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(execute(arguments)),
        Err(error) => {
            eprintln!("tidemill: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> ExitCode {
    tidemill_service::install_crypto();
    tidemill_service::raise_limit();
    let result = match arguments.command {
        Command::Up(up) => commands::up(up).await,
        Command::Demo(demo) => crate::demo::run(demo).await,
        Command::Import(Import { what: Dataset::OnlineRetail(import) }) => commands::import(import).await,
        Command::Check(check) => commands::check(check).await,
        Command::Books(books) => commands::books(books).await,
        Command::Dlq(dlq) => commands::dlq(dlq).await,
        Command::Keys(keys) => commands::keys(keys),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // It may hold what a server said.
            eprintln!("tidemill: {}", Printable(error));
            ExitCode::FAILURE
        }
    }
}
