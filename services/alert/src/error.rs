//! What can go wrong, and what follows from it.

use tidemill_domain::{Code, Outage};
use tidemill_service::{CeilingReached, Problem};
use tidemill_stage::{Disposition, Failure};

use crate::unit::AlertUnit;

/// An error of the alert service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// Another replica has claimed the unit since this one did.
    #[error("another replica has taken over `{0}`")]
    Superseded(AlertUnit),
    /// The store refused parts of a step, which are dead letters now: what is in
    /// memory counts them still.
    #[error("{0} parts of a step were refused by the store and set aside")]
    SetAside(usize),
    /// Too large a share of the messages cannot be read.
    #[error(transparent)]
    Ceiling(#[from] CeilingReached),
    /// Work was broken off because the unit is to be given back. What it left
    /// undone is done by who has it next.
    #[error("the unit is given back")]
    Stopped,
}

impl Error {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Superseded(_) | Self::SetAside(_) | Self::Ceiling(_) | Self::Stopped => false,
        }
    }

    /// What an HTTP client is told; the particulars are in the log.
    pub(crate) fn problem(&self) -> Problem {
        match self.disposition() {
            Disposition::Retry => Problem::unavailable("the store is not reachable"),
            Disposition::DeadLetter | Disposition::Halt | Disposition::End | Disposition::Fail => Problem::internal(),
        }
    }
}

/// Whatever may pass is waited for where it is met: what is in memory has moved
/// on already.
impl Outage for Error {
    fn is_outage(&self) -> bool {
        self.is_transient()
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) => error.code(),
            Self::Store(_) => Code::Store,
            Self::SetAside(_) => Code::StoreRefused,
            Self::Superseded(_) => Code::Superseded,
            Self::Ceiling(_) => Code::DeadLetterCeiling,
            Self::Stopped => Code::Stopped,
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(tidemill_bus::Error::Decode(_)) => Disposition::DeadLetter,
            Self::Bus(error) if error.is_transient() => Disposition::Retry,
            Self::Store(error) if error.is_transient() => Disposition::Retry,
            Self::Superseded(_) | Self::SetAside(_) => Disposition::Retry,
            Self::Ceiling(_) => Disposition::Halt,
            Self::Stopped => Disposition::End,
            Self::Bus(_) | Self::Store(_) => Disposition::Fail,
        }
    }
}

/// Whether work ended well: to be broken off is no failure.
pub(crate) fn unless_stopped<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Ok(_) | Err(Error::Stopped) => Ok(()),
        Err(error) => Err(error),
    }
}
