//! Real servers as private child processes, for the all-in-one and for tests.
//! Each has its own folder and port, and ends with its owner, however the owner
//! ends.

mod nats;
mod program;
mod slack;
mod tether;

pub use nats::{NatsServer, Password, find_nats_server};
pub use program::{ServiceProcess, find_program};
pub use slack::SlackStandIn;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not there.
    #[error("{program} was not found on PATH; {hint}")]
    NotFound {
        /// Its name.
        program: &'static str,
        /// How to get it.
        hint: &'static str,
    },
    /// The program did not come up.
    #[error("{program} did not start: {reason}")]
    Start {
        /// Its name.
        program: &'static str,
        /// Its last words.
        reason: String,
    },
    /// Another server has the folder.
    #[error(
        "{folder} is in use by another nats-server{}; it ends with what started it, or take another folder",
        process.as_deref().map_or_else(String::new, |id| format!(", process {id}"))
    )]
    InUse {
        /// The folder.
        folder: String,
        /// The server's process id, if it has written it down.
        process: Option<String>,
    },
    /// The folder cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: String,
        /// The system's word.
        source: std::io::Error,
    },
}
