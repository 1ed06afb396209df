//! Why nothing is measured.

use tidemill_batch_views::SqlError;
use tidemill_domain::Code;
use tidemill_lake_tables::LakeError;
use tidemill_stage::Failure;

use crate::error::Error;

/// Why nothing is measured now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QualityError {
    /// A table cannot be read.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The log, the database or a table.
    #[error(transparent)]
    Lake(#[from] Error),
    /// A figure that JSON cannot say: a fault of ours.
    #[error("figures cannot be told: {0}")]
    Unwritable(String),
}

impl QualityError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Sql(error) => error.code(),
            Self::Lake(error) => error.code(),
            Self::Unwritable(_) => Code::Internal,
        }
    }
}

impl From<LakeError> for QualityError {
    fn from(error: LakeError) -> Self {
        Self::Lake(error.into())
    }
}

impl From<tidemill_bus::Error> for QualityError {
    fn from(error: tidemill_bus::Error) -> Self {
        Self::Lake(error.into())
    }
}

impl From<tidemill_store::Error> for QualityError {
    fn from(error: tidemill_store::Error) -> Self {
        Self::Lake(error.into())
    }
}
