//! Everything that can go wrong here, and what follows from it.

use axum::http::StatusCode;
use tidemill_domain::{Code, Outage};
use tidemill_service::{CeilingReached, Problem};
use tidemill_stage::{Disposition, Failure};
use tidemill_store::Cause;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    #[error(transparent)]
    MetricsStore(#[from] tidemill_metrics_store::Error),
    /// Another replica owns the partition, or it was claimed anew.
    #[error("the partition has another owner")]
    Superseded,
    /// The end of METRICS is not what this owner published last: part of it was
    /// lost, or another owner has published since.
    #[error("the end of METRICS is not what was published last")]
    MetricsTail,
    #[error("an enriched batch cannot be read: {0}")]
    Unreadable(#[source] tidemill_bus::Error),
    #[error(transparent)]
    DeadLetterCeiling(#[from] CeilingReached),
    #[error("{0}")]
    BadRequest(String),
}

impl Error {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        self.disposition() == Disposition::Retry
    }

    /// Whether the store will never hold what it was given.
    pub(crate) fn is_refusal(&self) -> bool {
        self.disposition() == Disposition::DeadLetter
    }

    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::BadRequest(detail) => Problem::new(StatusCode::BAD_REQUEST, self.code()).detail(detail),
            Self::Bus(_)
            | Self::Store(_)
            | Self::MetricsStore(_)
            | Self::Superseded
            | Self::MetricsTail
            | Self::Unreadable(_)
            | Self::DeadLetterCeiling(_) => match self.disposition() {
                Disposition::Retry => Problem::unavailable("a store is not available"),
                Disposition::DeadLetter | Disposition::Halt | Disposition::End | Disposition::Fail => {
                    Problem::internal()
                }
            },
        }
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_outage(),
            Self::Store(error) => error.is_transient(),
            Self::MetricsStore(error) => error.is_transient(),
            Self::Superseded
            | Self::MetricsTail
            | Self::Unreadable(_)
            | Self::DeadLetterCeiling(_)
            | Self::BadRequest(_) => false,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) | Self::Unreadable(error) => error.code(),
            Self::Store(_) => Code::Store,
            Self::MetricsStore(_) => Code::MetricsStore,
            Self::Superseded => Code::Superseded,
            Self::MetricsTail => Code::MetricsTail,
            Self::DeadLetterCeiling(_) => Code::DeadLetterCeiling,
            Self::BadRequest(_) => Code::InvalidParameter,
        }
    }

    fn disposition(&self) -> Disposition {
        let retry = match self {
            // It is of this one partition; others go on.
            Self::Bus(tidemill_bus::Error::TooLarge { .. }) => return Disposition::Halt,
            Self::Bus(error) => error.is_transient(),
            Self::Store(error) => match error.cause() {
                Cause::Moment => true,
                Cause::Data => return Disposition::DeadLetter,
                Cause::Fault => false,
            },
            Self::MetricsStore(error) => error.is_transient(),
            Self::Superseded | Self::MetricsTail | Self::Unreadable(_) => true,
            Self::DeadLetterCeiling(_) => return Disposition::Halt,
            Self::BadRequest(_) => false,
        };
        if retry { Disposition::Retry } else { Disposition::Fail }
    }
}
