//! The command line.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    tidemill::cli::run(tidemill::cli::Arguments::parse()).await
}
