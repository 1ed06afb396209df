//! Why a load came to nothing.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;
use tidemill_domain::Timestamp;

use crate::client::ClientError;

/// Why a load came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file cannot be written.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The suite could not be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The suite refused events.
    #[error("the suite refused {count} events, the first with {first}")]
    Refused {
        /// How many, of one request.
        count: u64,
        /// The first verdict.
        first: Value,
    },
    /// Its totals cannot be checked by this metric.
    #[error("the metric {name} cannot be compared: {reason}")]
    Metric {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// There are totals of others, so ours could not be told.
    #[error("the metric {metric} has totals from {from} on already; take another time by --begin")]
    Occupied {
        /// Its name.
        metric: String,
        /// The event time of the first event.
        from: Timestamp,
    },
    /// Events are missing, and no more came for so long.
    #[error("the books do not balance after {} s without progress: {books}", patience.as_secs())]
    Unbalanced {
        /// The books.
        books: String,
        /// For how long nothing came.
        patience: Duration,
    },
    /// A part of the program failed.
    #[error("a sender ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}
