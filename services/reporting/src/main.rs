//! The reporting service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_service::main("reporting", async |config, context| {
        tidemill_reporting::start(config, context).await.map(|_| ())
    })
}
