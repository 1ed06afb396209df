//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill::cli::run(tidemill::cli::Arguments::read())
}
