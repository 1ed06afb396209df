//! The enrichment service.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_service::main("enrichment", async |config, context| {
        tidemill_enrichment::start(config, context).await.map(|_| ())
    })
}
