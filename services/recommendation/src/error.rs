//! What can go wrong, and what follows from it.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tidemill_bus::Error as BusError;
use tidemill_domain::{Code, Outage};
use tidemill_service::Problem;
use tidemill_stage::{Disposition, Failure};

use crate::learning::ChunkError;

/// An error of the recommendation service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// The store is known to be away, and who asks does not wait for it.
    #[error("the store is away")]
    StoreAway,
    /// What is stored cannot be read.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A stored page of the index cannot be read.
    #[error("a stored page cannot be read: {0}")]
    Page(#[from] tidemill_recommender::SnapshotError),
    /// A batch cannot be read: it is of another release, or a fault of ours. The
    /// partition waits, and nothing is lost.
    #[error("a batch cannot be read: {0}")]
    Unreadable(tidemill_bus::Error),
    /// Another replica keeps the partition now.
    #[error("another replica has taken over the partition")]
    Superseded,
    /// A request is not as it should be.
    #[error("{0}")]
    Parameter(String),
    /// Nothing is known of the customer.
    #[error("nothing is known of this customer")]
    UnknownCustomer,
}

impl Error {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Bus(BusError::ForeignLog { .. }) => false,
            Self::Bus(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::StoreAway => true,
            Self::Chunk(_)
            | Self::Page(_)
            | Self::Unreadable(_)
            | Self::Superseded
            | Self::Parameter(_)
            | Self::UnknownCustomer => false,
        }
    }

    /// What a client is told.
    fn problem(&self) -> Problem {
        match self {
            Self::Store(error) if error.is_transient() => Problem::unavailable("the store is not reachable"),
            Self::StoreAway => Problem::unavailable("the store is not reachable"),
            Self::Bus(error) if error.is_transient() => Problem::unavailable("the message log is not reachable"),
            Self::Parameter(detail) => Problem::new(StatusCode::BAD_REQUEST, self.code()).detail(detail.clone()),
            Self::UnknownCustomer => Problem::new(StatusCode::NOT_FOUND, self.code()).detail(self.to_string()),
            Self::Store(_) | Self::Bus(_) | Self::Chunk(_) | Self::Page(_) | Self::Unreadable(_) | Self::Superseded => {
                Problem::internal()
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::warn!(code = self.code().as_str(), error = %self, "a request could not be answered");
        }
        problem.into_response()
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        self.is_transient()
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) | Self::Unreadable(error) => error.code(),
            Self::Store(_) | Self::StoreAway | Self::Chunk(_) | Self::Page(_) => Code::Store,
            Self::Superseded => Code::Superseded,
            Self::Parameter(_) => Code::InvalidParameter,
            Self::UnknownCustomer => Code::NotFound,
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            // What another log has would be learnt beside what is learnt, and answered from.
            Self::Bus(BusError::ForeignLog { .. }) => Disposition::Fail,
            Self::Bus(error) if error.is_transient() => Disposition::Retry,
            Self::Store(error) if error.is_transient() => Disposition::Retry,
            Self::Superseded | Self::Unreadable(_) | Self::StoreAway => Disposition::Retry,
            Self::Bus(_)
            | Self::Store(_)
            | Self::Chunk(_)
            | Self::Page(_)
            | Self::Parameter(_)
            | Self::UnknownCustomer => Disposition::Fail,
        }
    }
}
