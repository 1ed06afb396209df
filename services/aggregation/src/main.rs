//! The aggregation service's process.

use std::process::ExitCode;

use tidemill_aggregation::AggregationService;

fn main() -> ExitCode {
    tidemill_service::main::<AggregationService>()
}
