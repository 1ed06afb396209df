//! The ingestion service as a process of its own.

use std::process::ExitCode;

use tidemill_ingestion::IngestionService;

fn main() -> ExitCode {
    tidemill_service::main::<IngestionService>()
}
