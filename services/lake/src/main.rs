//! The lake as a process of its own.

use std::process::ExitCode;

use tidemill_lake::LakeService;

fn main() -> ExitCode {
    tidemill_service::main::<LakeService>()
}
