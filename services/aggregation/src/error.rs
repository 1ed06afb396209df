//! Everything that can go wrong here, and what follows from it.

use axum::http::StatusCode;
use tidemill_service::Problem;

/// An error of aggregation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// NATS.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// The service's own database.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// InfluxDB or the built-in metrics store.
    #[error(transparent)]
    MetricsStore(#[from] tidemill_metrics_store::Error),
    /// A batch is missing between the last one applied and this one.
    #[error("batch {missing} of the log is missing before {found}: enrichment has to publish it again")]
    Gap {
        /// The `RAW` sequence that should have come.
        missing: u64,
        /// The one that came.
        found: u64,
    },
    /// A batch cannot be read.
    #[error("an enriched batch cannot be read: {0}")]
    Unreadable(#[source] tidemill_bus::Error),
    /// A query parameter is wrong.
    #[error("{0}")]
    BadRequest(String),
}

/// What becomes of the messages in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again: whatever is missing may come back.
    Retry,
    /// It will never work: stop, and have an operator look.
    Fail,
}

impl Error {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bus(_) => "bus",
            Self::Store(_) => "store",
            Self::MetricsStore(_) => "metrics_store",
            Self::Gap { .. } => "gap",
            Self::Unreadable(_) => "unreadable_batch",
            Self::BadRequest(_) => "bad_request",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.disposition() == Disposition::Retry
    }

    /// What becomes of the messages in hand.
    pub fn disposition(&self) -> Disposition {
        let retry = match self {
            Self::Bus(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::MetricsStore(error) => error.is_transient(),
            Self::Gap { .. } | Self::Unreadable(_) => true,
            Self::BadRequest(_) => false,
        };
        if retry { Disposition::Retry } else { Disposition::Fail }
    }

    /// The error as a client sees it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::BadRequest(detail) => {
                Problem::new(StatusCode::BAD_REQUEST, "bad_request", "The request is malformed").detail(detail)
            }
            Self::Bus(_) | Self::Store(_) | Self::MetricsStore(_) | Self::Gap { .. } | Self::Unreadable(_) => {
                match self.disposition() {
                    Disposition::Retry => Problem::unavailable("a store is not available"),
                    Disposition::Fail => Problem::internal(),
                }
            }
        }
    }
}
