//! The enrichment service.

use std::process::ExitCode;

use tidemill_enrichment::EnrichmentService;

fn main() -> ExitCode {
    tidemill_service::main::<EnrichmentService>()
}
