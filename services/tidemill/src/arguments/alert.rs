//! What `tidemill alert` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidemill_domain::GenerationName;

use super::replay::{ReplayFrom, ReplayLake, ReplayReference, ReplaySuite};

/// `tidemill alert`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill alert backtest --rules rules --data /var/lib/tidemill\n  \
    tidemill alert backtest --name v2 --json")]
pub struct AlertArguments {
    #[command(subcommand)]
    pub(crate) command: AlertCommand,
}

/// What can be done with alert rules.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Try rules out over the log: which alerts they would have raised, beside those that were raised
    #[command(
        after_help = "The log is enriched and counted once more, by its own clock, and the rules are evaluated over it. \
        Nobody is told of what they find: nothing goes to Slack, and nothing is written but files in a temporary \
        folder (TMPDIR) that goes with the command. The alerts that the live rules have raised of the same part of \
        the log are shown beside.\n\nThe exit code is 0 if both have raised the same alerts, 1 if not, and 2 if it \
        could not be found out.\n\nExamples:\n  \
        tidemill alert backtest --rules rules --data /var/lib/tidemill\n  \
        tidemill alert backtest --rules rules --from 2d --limit 100\n  \
        tidemill alert backtest --name v2\n  \
        tidemill alert backtest --rules rules --json | jq '.rules[] | {rule, only_here}'"
    )]
    Backtest(BacktestArguments),
}

/// `tidemill alert backtest`
#[derive(Debug, Args)]
pub struct BacktestArguments {
    /// By what this generation is counted by: its definitions, rules and reference data
    #[arg(long, value_name = "NAME", conflicts_with_all = ["rules", "definitions", "reference"])]
    pub(crate) name: Option<GenerationName>,
    /// Folder with the rules [default: those of the suite]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Folder with the definitions of metrics [default: those of the suite]
    #[arg(long, value_name = "DIR")]
    pub(crate) definitions: Option<PathBuf>,
    /// Which reference data events are joined with [default: as-of]
    #[arg(long, value_enum)]
    pub(crate) reference: Option<ReplayReference>,
    /// Begin there: a time (2026-03-01T10:00:00Z), how long ago (2d), or a sequence of RAW [default: the
    /// beginning of the log, or of the generation]
    #[arg(long, value_name = "TIME|SEQUENCE")]
    pub(crate) from: Option<ReplayFrom>,
    /// Alerts that are shown
    #[arg(long, default_value_t = 50, value_name = "ALERTS")]
    pub(crate) limit: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) suite: ReplaySuite,
    #[command(flatten)]
    pub(crate) lake: ReplayLake,
}
