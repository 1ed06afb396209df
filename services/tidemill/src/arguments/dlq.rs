//! What `tidemill dlq` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::Url;

use crate::when::When;

/// Where reporting listens unless told otherwise.
pub(super) const REPORTING: &str = "http://localhost:7080";

/// `tidemill dlq`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidemill dlq list --service ingestion --since 2h\n  \
    tidemill dlq list --reporting-url https://shop.example.org --wide\n  \
    tidemill dlq show 17\n  \
    tidemill dlq redrive --code unknown_type --reason 'schema added' --dry-run\n  \
    tidemill dlq redrive 17 --body mended.json\n  \
    tidemill dlq discard --source load-test --reason 'never real' --yes")]
pub struct DlqArguments {
    #[command(subcommand)]
    pub(crate) command: DlqCommand,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, the newest first
    #[command(after_help = "Examples:\n  \
        tidemill dlq list --state dead --code schema_violation\n  \
        tidemill dlq list --since 2026-03-01T00:00:00Z --until 1d --json | jq .dead_letters\n  \
        tidemill dlq list --wide | less -S")]
    List(DlqList),
    /// Show one dead letter: why, its body, and what was done about it. What is
    /// personal in it is masked
    Show(DlqShow),
    /// Send the events of dead letters again, as they are or mended
    #[command(
        after_help = "Each event is validated by ingestion like any other. It keeps its source and id, so it is \
        counted once\nhowever often it is redriven, and it is not late however old it is. The exit code is 0 if every \
        one is\naccepted, and none of a time of which nothing is kept any more.\n\nExamples:\n  \
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
    /// Show what was ordered for dead letters, by whom, and the outcome
    Audit(DlqAudit),
}

/// Which suite, and how to answer.
#[derive(Debug, Args)]
pub struct DlqTarget {
    /// Reporting of the suite (also --url)
    #[arg(long, alias = "url", env = "TIDEMILL_URL", default_value = REPORTING, value_name = "URL")]
    pub reporting_url: Url,
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
    /// Tell everything in full, however long: reasons, ids and sources
    #[arg(long)]
    pub wide: bool,
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
    /// Tell everything in full, however long
    #[arg(long)]
    pub wide: bool,
    #[command(flatten)]
    pub(crate) target: DlqTarget,
}
