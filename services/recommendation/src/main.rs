//! The recommendation service as a process of its own.

use std::process::ExitCode;

use tidemill_recommendation::RecommendationService;

fn main() -> ExitCode {
    tidemill_service::main::<RecommendationService>()
}
