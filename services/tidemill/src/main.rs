//! The command line.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tidemill::cli::run(tidemill::cli::Arguments::parse())
}
