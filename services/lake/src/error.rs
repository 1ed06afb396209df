//! What can go wrong, and what follows from it.

use tidemill_domain::{Code, Outage};
use tidemill_lake_tables::LakeError;
use tidemill_service::Problem;
use tidemill_stage::{Disposition, Failure};

use crate::{silver::BrokenContract, unit::LakeUnit};

/// An error of the lake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// Its own database.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// A table.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// An event breaks a rule that stops its partition.
    #[error(transparent)]
    Contract(#[from] BrokenContract),
    /// The database is not where this replica left it.
    #[error("another replica has gone on with {0}")]
    Superseded(LakeUnit),
    /// A batch is of another release, or a fault of ours.
    #[error("a batch cannot be read: {0}")]
    Unreadable(#[source] tidemill_bus::Error),
}

impl Error {
    /// What an HTTP client is told; the particulars are in the log.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Lake(_) | Self::Store(_) | Self::Bus(_) => Problem::unavailable("the lake is not available"),
            Self::Contract(_) | Self::Superseded(_) | Self::Unreadable(_) => Problem::internal(),
        }
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_outage(),
            Self::Store(error) => error.is_transient(),
            Self::Lake(error) => error.is_outage(),
            Self::Contract(_) | Self::Superseded(_) | Self::Unreadable(_) => false,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) | Self::Unreadable(error) => error.code(),
            Self::Store(_) => Code::Store,
            Self::Lake(error) => error.code(),
            Self::Contract(_) => Code::ContractBroken,
            Self::Superseded(_) => Code::Superseded,
        }
    }

    /// The log keeps what waits, so whatever an operator can mend is tried again.
    fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(error) if !error.is_transient() => Disposition::Fail,
            Self::Store(error) if !error.is_transient() => Disposition::Fail,
            Self::Bus(_)
            | Self::Store(_)
            | Self::Lake(_)
            | Self::Contract(_)
            | Self::Superseded(_)
            | Self::Unreadable(_) => Disposition::Retry,
        }
    }
}
