//! The ingestion service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_service::main("ingestion", async |config, context| {
        tidemill_ingestion::start(config, context).await.map(|_| ())
    })
}
