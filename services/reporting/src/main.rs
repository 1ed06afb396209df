//! The reporting service as a process of its own.

use std::process::ExitCode;

use tidemill_reporting::ReportingService;

fn main() -> ExitCode {
    tidemill_service::main::<ReportingService>()
}
