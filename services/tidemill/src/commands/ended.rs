//! How a command ends.

use std::{error::Error, process::ExitCode};

/// What a command ends with; the error is for the person who typed it.
pub(crate) type Ended = Result<ExitCode, Box<dyn Error>>;
