//! What `tidemill replay` is told.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tidemill_domain::GenerationName;
use url::Url;

use super::REPORTING;
use crate::{client::LakeClient, when::When};

/// How long the lake may take for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(180);

/// `tidemill replay`
#[derive(Debug, Args)]
#[command(after_help = "A generation is the log counted once more beside the live services, by other definitions or \
    other reference\ndata. Nobody sees it until it is cut over to. docs/replay.md explains it.\n\nExamples:\n  \
    tidemill replay start --name v2 --definitions metrics --data /var/lib/tidemill\n  \
    tidemill replay diff --name v2\n  \
    tidemill replay cutover --name v2 --reason \"refunds count on the day of the order\"\n  \
    tidemill replay rollback --name v2")]
pub struct ReplayArguments {
    #[command(subcommand)]
    pub(crate) command: ReplayCommand,
}

/// What can be done with a generation.
#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Count the log once more into a generation, or go on with one
    #[command(
        after_help = "It tells first what it will do, and runs then until Ctrl-C. Whoever starts it again goes on \
        where it was, also\nafter a crash. Once it has caught up it stays as far as the live totals: a generation that \
        is cut over to needs\nit for as long as it answers.\n\nThe suite is that of `tidemill up`, by --data or its \
        tidemill.toml; or services that run by themselves, by the\nsettings files of two of them and a place for the \
        generation's stores.\n\nExamples:\n  \
        tidemill replay start --name v2 --definitions metrics --plan\n  \
        tidemill replay start --name corrected --reference now --data /var/lib/tidemill\n  \
        tidemill replay start --name v2 --from 2d --rate 50000 --once\n  \
        tidemill replay start --name v2 --from 90d --lake-url http://localhost:7075\n  \
        tidemill replay start --name v2 --enrichment-settings enrichment.toml \\\n    \
        --aggregation-settings aggregation.toml --stores postgres://replay@db/replay"
    )]
    Start(ReplayStartArguments),
    /// Give metrics their past that were defined after events had come in
    #[command(
        after_help = "A definition that is new or changes counts from then on. This counts the log from its beginning for the metrics that lack a\npart of it, has the generation answer for them once it has caught up, and follows the log for as long as it runs;\nwhoever starts it again goes on. It tells first which metrics lack what; --plan tells that alone.\n\nExamples:\n  \
        tidemill replay backfill --name past --plan\n  \
        tidemill replay backfill --name past --metric daily_sales --data /var/lib/tidemill"
    )]
    Backfill(ReplayBackfill),
    /// Tell how far a replay is
    #[command(after_help = "Examples:\n  tidemill replay status --name v2\n  tidemill replay status --name v2 --json")]
    Status(ReplayStatus),
    /// Have a replay stand where it is
    #[command(after_help = "Examples:\n  tidemill replay pause --name v2 --data /var/lib/tidemill")]
    Pause(ReplayPlace),
    /// Have a replay that stands go on, at another rate if one is given
    #[command(
        after_help = "Examples:\n  tidemill replay resume --name v2\n  tidemill replay resume --name v2 --rate 0"
    )]
    Resume(ReplayResume),
    /// Have a replay end for good
    #[command(after_help = "What it has counted stays until `tidemill replay retire`.\n\nExamples:\n  \
        tidemill replay cancel --name v2")]
    Cancel(ReplayPlace),
    /// Compare a generation with the live totals, cell by cell
    #[command(
        after_help = "Both are compared at one position of the log. Cells that one of them has counted further are \
        open: they are counted,\nand not compared; --wait waits until there are none. The exit code is 0 if all cells \
        are equal, 1 if some differ\nor are open, and 2 if they could not be compared.\n\nExamples:\n  \
        tidemill replay diff --name v2\n  \
        tidemill replay diff --name v2 --metric daily_sales --wait 60\n  \
        tidemill replay diff --name v2 --json | jq '.metrics[] | {metric, reasons, changed}'"
    )]
    Diff(ReplayDiff),
    /// Have a generation answer from here on
    #[command(
        after_help = "All metrics of it change at one moment. It is written down who did it, and why.\n\nExamples:\n  \
        tidemill replay cutover --name v2\n  \
        tidemill replay cutover --name v2 --metric daily_sales --reason \"refunds by day of order\""
    )]
    Cutover(ReplayCutover),
    /// Have the metrics of a generation be answered as they were before it
    #[command(after_help = "Nothing is computed.\n\nExamples:\n  tidemill replay rollback --name v2")]
    Rollback(ReplayOrder),
    /// Give up a generation that answers nothing, and delete its totals
    #[command(after_help = "Its stores are yours to delete, once its replay has ended.\n\nExamples:\n  \
        tidemill replay retire --name v1")]
    Retire(ReplayOrder),
}

/// Where the suite and its generations are.
#[derive(Debug, Args)]
pub struct ReplaySuite {
    /// Settings of `tidemill up`; without it tidemill.toml of the working folder, where
    /// there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of `tidemill up`
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Settings of an enrichment that runs by itself; TIDEMILL_ENRICHMENT__X stands for its
    /// TIDEMILL_X
    #[arg(long, value_name = "FILE", requires_all = ["aggregation_settings", "stores"], conflicts_with = "data")]
    pub(crate) enrichment_settings: Option<PathBuf>,
    /// The same of its aggregation
    #[arg(long, value_name = "FILE", requires = "enrichment_settings")]
    pub(crate) aggregation_settings: Option<PathBuf>,
    /// The same of its alert service, for what follows from its rules
    #[arg(long, value_name = "FILE", requires = "enrichment_settings")]
    pub(crate) alert_settings: Option<PathBuf>,
    /// Where the generation is kept: sqlite:///FOLDER, or postgres://… with a schema for each
    /// store [default: a folder beside the suite's own stores]
    #[arg(long, env = "TIDEMILL_REPLAY_STORES", hide_env_values = true, value_name = "URL")]
    pub(crate) stores: Option<String>,
}

/// The lake that has what the log has forgotten.
#[derive(Debug, Args)]
pub struct ReplayLake {
    /// The lake whose bronze has the events that the log has forgotten: they are read first, and the log
    /// behind them
    #[arg(long, env = "TIDEMILL_LAKE_URL", value_name = "URL")]
    pub(crate) lake_url: Option<Url>,
    /// Key of the lake that may read, where it needs one
    #[arg(long, env = "TIDEMILL_READ_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) lake_key: Option<String>,
}

impl ReplayLake {
    /// A client of it.
    pub(crate) fn client(&self) -> Option<LakeClient> {
        // Pages are answered within the lake's own limits.
        self.lake_url.clone().map(|url| LakeClient::new(url, self.lake_key.clone()).with_timeout(PAGE_TIMEOUT))
    }
}

/// A generation, and where it is.
#[derive(Debug, Args)]
pub struct ReplayPlace {
    /// Name of the generation: small letters, digits and _
    #[arg(long, value_name = "NAME", value_parser = replayed)]
    pub(crate) name: GenerationName,
    #[command(flatten)]
    pub(crate) suite: ReplaySuite,
}

/// `tidemill replay start`
#[derive(Debug, Args)]
pub struct ReplayStartArguments {
    #[command(flatten)]
    pub(crate) place: ReplayPlace,
    #[command(flatten)]
    pub(crate) lake: ReplayLake,
    /// Begin there: a time (2026-03-01T10:00:00Z), how long ago (2d), or a sequence of RAW [default: the
    /// beginning of the log, or of what a lake has before it]
    #[arg(long, value_name = "TIME|SEQUENCE")]
    pub(crate) from: Option<ReplayFrom>,
    /// Folder with the definitions of metrics [default: those of the suite]
    #[arg(long, value_name = "DIR")]
    pub(crate) definitions: Option<PathBuf>,
    /// Folder with rules to be tried out with it, by `tidemill alert backtest --name`; nobody is told
    /// of what they find [default: those of the suite]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Which reference data events are joined with [default: as-of]
    #[arg(long, value_enum)]
    pub(crate) reference: Option<ReplayReference>,
    /// Events a second at most; 0 for any number [default: 0]
    #[arg(long, value_name = "EVENTS")]
    pub(crate) rate: Option<u64>,
    /// Only tell what it would do
    #[arg(long)]
    pub(crate) plan: bool,
    /// End when it has caught up
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a replay is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// At this time.
    When(When),
    /// With this sequence of `RAW`.
    Sequence(u64),
}

impl FromStr for ReplayFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u64>() {
            Ok(0) => Err("sequences begin with 1".into()),
            Ok(sequence) => Ok(Self::Sequence(sequence)),
            Err(_) => text.parse().map(Self::When).map_err(|error| format!("{error}, or a sequence of RAW")),
        }
    }
}

/// Which reference data events are joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayReference {
    /// Those that held at the event's time
    AsOf,
    /// Those of now: corrections reach into the past. Rates of currencies stay those of their day
    Now,
}

/// `tidemill replay backfill`
#[derive(Debug, Args)]
pub struct ReplayBackfill {
    #[command(flatten)]
    pub(crate) place: ReplayPlace,
    #[command(flatten)]
    pub(crate) lake: ReplayLake,
    /// This metric alone; may be given several times [default: all that lack a part of the log]
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Vec<String>,
    /// Events a second at most; 0 for any number [default: 0]
    #[arg(long, value_name = "EVENTS")]
    pub(crate) rate: Option<u64>,
    /// Only tell what it would do
    #[arg(long)]
    pub(crate) plan: bool,
    /// Who orders it
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) by: String,
    /// Why
    #[arg(long, default_value = "what came in before the definition")]
    pub(crate) reason: String,
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub(crate) reporting_url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, alias = "operate-key", env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// `tidemill replay status`
#[derive(Debug, Args)]
pub struct ReplayStatus {
    #[command(flatten)]
    pub(crate) place: ReplayPlace,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tidemill replay resume`
#[derive(Debug, Args)]
pub struct ReplayResume {
    #[command(flatten)]
    pub(crate) place: ReplayPlace,
    /// Events a second at most; 0 for any number
    #[arg(long, value_name = "EVENTS")]
    pub(crate) rate: Option<u64>,
}

/// The name of a generation that a replay counts.
fn replayed(text: &str) -> Result<GenerationName, String> {
    match text.parse::<GenerationName>() {
        Ok(name) if name.as_str() == GenerationName::BATCH => Err("'batch' is what the lake computes".into()),
        read => read.map_err(|error| error.to_string()),
    }
}

/// `tidemill replay diff`
#[derive(Debug, Args)]
pub struct ReplayDiff {
    /// Name of the generation
    #[arg(long, value_name = "NAME")]
    pub(crate) name: GenerationName,
    /// Of this metric alone
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Option<String>,
    /// Differing cells that are told of each metric
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500), value_name = "CELLS")]
    pub(crate) limit: u16,
    /// Seconds to wait while cells are open
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(crate) wait: u64,
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub(crate) reporting_url: Url,
    /// Key of the suite that may read, where it needs one
    #[arg(long, alias = "read-key", env = "TIDEMILL_READ_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tidemill replay cutover`
#[derive(Debug, Args)]
pub struct ReplayCutover {
    #[command(flatten)]
    pub(crate) order: ReplayOrder,
    /// Hours after which generations that it replaces are retired; until then `rollback` leads back to
    /// them [default: they stay until `retire`]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8760), value_name = "HOURS")]
    pub(crate) warm_hours: Option<u32>,
}

/// `tidemill replay rollback` and `retire`, and what a cutover has in common with them
#[derive(Debug, Args)]
pub struct ReplayOrder {
    /// Name of the generation
    #[arg(long, value_name = "NAME")]
    pub(crate) name: GenerationName,
    /// This metric alone; may be given several times
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Vec<String>,
    /// Also where the generation has not counted as far as the live totals
    #[arg(long)]
    pub(crate) force: bool,
    /// Who orders it
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) by: String,
    /// Why
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub(crate) reporting_url: Url,
    /// Key of the suite that may operate, where it needs one
    #[arg(long, alias = "operate-key", env = "TIDEMILL_OPERATE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
