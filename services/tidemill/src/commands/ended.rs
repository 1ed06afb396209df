//! How a command ends.

use std::{error::Error, process::ExitCode};

use crate::{bench::BenchError, client::ClientError, failure::whole, import::online_retail::ImportError};

/// What a command ends with; the error is for the person who typed it.
pub(crate) type Ended = Result<ExitCode, Box<dyn Error>>;

// The help lists all of them.
const WRONG_ARGUMENTS: u8 = 2;
const UNBALANCED: u8 = 3;
const UNREACHABLE: u8 = 4;

/// Arguments are wrong in a way that the reader of the command line cannot tell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongArguments(pub(crate) String);

/// The exit code of a command that tells whether the books balance.
pub(crate) fn balanced(is_so: bool) -> ExitCode {
    if is_so { ExitCode::SUCCESS } else { ExitCode::from(UNBALANCED) }
}

/// What to tell of an error, and the exit code that says its kind.
pub(crate) fn failed(error: &(dyn Error + 'static)) -> (String, ExitCode) {
    let import = error.downcast_ref::<ImportError>();
    let bench = error.downcast_ref::<BenchError>();
    let client = match (import, bench) {
        (Some(ImportError::Client(client)), _) | (_, Some(BenchError::Client(client))) => Some(client),
        _ => error.downcast_ref(),
    };
    let is_unbalanced =
        matches!(import, Some(ImportError::Unbalanced { .. })) || matches!(bench, Some(BenchError::Unbalanced { .. }));
    let code = match client {
        _ if is_unbalanced => ExitCode::from(UNBALANCED),
        _ if error.is::<WrongArguments>() => ExitCode::from(WRONG_ARGUMENTS),
        Some(ClientError::Unavailable { .. }) => ExitCode::from(UNREACHABLE),
        _ => ExitCode::FAILURE,
    };
    (whole(error), code)
}
