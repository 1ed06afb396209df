//! Why batch views are not told.

use tidemill_batch_views::SqlError;
use tidemill_domain::Code;

/// Why batch views are not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    /// They cannot be computed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The server of the log.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// The lake's database.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// Reporting is away, or too far behind.
    #[error(
        "reporting does not read what is told: they are told at the next run; in a profile without reporting \
         (medallion) nobody does"
    )]
    NotRead,
}

impl BatchError {
    /// Its stable code.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Sql(error) => error.code(),
            Self::Bus(error) => error.code(),
            Self::Store(_) => Code::Store,
            Self::NotRead => Code::Unavailable,
        }
    }

    /// With its code in front, as readiness tells it.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Sql(error) => error.told(),
            other => format!("{}: {other}", other.code().as_str()),
        }
    }
}
