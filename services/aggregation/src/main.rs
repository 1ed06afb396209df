//! The aggregation service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_service::main("aggregation", async |config, context| {
        tidemill_aggregation::start(config, context).await.map(|_| ())
    })
}
