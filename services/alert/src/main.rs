//! The alert service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_service::main("alert", async |config, context| tidemill_alert::start(config, context).await.map(|_| ()))
}
