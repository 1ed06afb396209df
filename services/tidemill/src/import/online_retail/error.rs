//! What can go wrong with an import.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use crate::client::ClientError;

/// How long the books may stand still before the import gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is not what the data set's lines are.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number in the file, the header being 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The suite refused events.
    #[error("the suite refused {count} events, the first with {first}")]
    Refused {
        /// How many.
        count: u64,
        /// The first verdict.
        first: Value,
    },
    /// The suite could not be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Events are missing, and no more came for a minute.
    #[error("the books do not balance after {} s without progress: {books}", PATIENCE.as_secs())]
    Unbalanced {
        /// The books.
        books: String,
    },
}
