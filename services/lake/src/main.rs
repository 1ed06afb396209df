//! The lake as a process of its own.

use std::process::ExitCode;

use tidemill_lake::{LakeService, SQL_PROCESS, answer_question};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == SQL_PROCESS) {
        return answer_question();
    }
    tidemill_service::main::<LakeService>()
}
