//! The commands that are small.

mod books;
mod check;
mod dlq;
mod import;
mod keys;
mod up;

pub(crate) use books::books;
pub(crate) use check::check;
pub(crate) use dlq::dlq;
pub(crate) use import::import;
pub(crate) use keys::keys;
pub(crate) use up::up;

/// What a command ends with; the error is for the person who typed it.
pub(crate) type Outcome = Result<std::process::ExitCode, Box<dyn std::error::Error>>;
