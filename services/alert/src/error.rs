//! What can go wrong, and what follows from it.

use tidemill_events::DecodeError;
use tidemill_service::Problem;

/// An error of the alert service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// Message after message cannot be read: this release is wrong here, and
    /// giving up all of them would help nobody.
    #[error("{0} messages in a row cannot be read")]
    TooManyDeadLetters(u32),
    /// Work was broken off because the service is to stop. What it left
    /// undone is done after the next start.
    #[error("the service stops")]
    ShutDown,
}

/// What a consumer does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same work may succeed later.
    Retry,
    /// The message is given up, and the next one taken.
    DeadLetter,
    /// The service ends.
    Stop,
}

impl Error {
    /// Stable code: in dead letters, problems and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bus(tidemill_bus::Error::Decode(error)) => match error {
                DecodeError::Header(_) => "bad_header",
                DecodeError::Version(_) => "unsupported_version",
                DecodeError::Encoding(_) => "bad_encoding",
                DecodeError::Body(_) => "bad_body",
            },
            Self::Bus(_) => "bus",
            Self::Store(_) => "store",
            Self::TooManyDeadLetters(_) => "too_many_dead_letters",
            Self::ShutDown => "shut_down",
        }
    }

    /// What a consumer does about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(tidemill_bus::Error::Decode(_)) => Disposition::DeadLetter,
            Self::Bus(error) if error.is_transient() => Disposition::Retry,
            Self::Store(error) if error.is_transient() => Disposition::Retry,
            Self::Bus(_) | Self::Store(_) | Self::TooManyDeadLetters(_) | Self::ShutDown => Disposition::Stop,
        }
    }

    /// A task's result, to which an orderly stop is no failure.
    pub fn unless_shut_down(result: Result<(), Self>) -> Result<(), Self> {
        match result {
            Err(Self::ShutDown) => Ok(()),
            other => other,
        }
    }

    /// Whether the same work may succeed later.
    pub fn is_transient(&self) -> bool {
        self.disposition() == Disposition::Retry
    }

    /// What an HTTP client is told; the particulars are in the log.
    pub fn problem(&self) -> Problem {
        match self.disposition() {
            Disposition::Retry => Problem::unavailable("the store is not reachable"),
            Disposition::DeadLetter | Disposition::Stop => Problem::internal(),
        }
    }
}
