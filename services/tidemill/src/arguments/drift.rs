//! What `tidemill drift` is told.

use clap::Args;
use url::Url;

use super::REPORTING;

/// `tidemill drift`
#[derive(Debug, Args)]
#[command(
    after_help = "The lake computes the totals of windows once more from its tables, and reporting compares them \
    with the stream's, at one position of the log. Where they differ something is wrong, and the stream's answer. The \
    exit code is 0 if all are equal, 1 if some differ, and 2 if it cannot be told, or no batch view has come \
    yet.\n\nExamples:\n  \
    tidemill drift\n  \
    tidemill drift --metric daily_sales --limit 200\n  \
    tidemill drift --json | jq .cells"
)]
pub struct DriftArguments {
    /// Of this metric alone
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Option<String>,
    /// Differing cells that are told, the first in time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500), value_name = "CELLS")]
    pub(crate) limit: u16,
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
