//! What `tidemill nats` is told.

use std::path::PathBuf;

use clap::Args;

/// `tidemill nats`
#[derive(Debug, Args)]
#[command(
    after_help = "The address has the password, which is as good as the log itself. Each start of the suite may take another \
    port.\n\nExamples:\n  \
    tidemill nats --data shop/data\n  \
    nats --server \"$(tidemill nats --data shop/data)\" sub 'tm.profiles.*'"
)]
pub struct NatsArguments {
    /// Settings of `tidemill up`; without it tidemill.toml of the working folder, where
    /// there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of `tidemill up`: without one of its own, the one that it printed at its start
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
