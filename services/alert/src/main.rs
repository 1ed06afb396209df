//! The alert service as a process of its own.

use std::process::ExitCode;

use tidemill_alert::AlertService;

fn main() -> ExitCode {
    tidemill_service::main::<AlertService>()
}
