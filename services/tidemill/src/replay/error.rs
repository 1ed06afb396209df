//! Why a replay cannot go on.

use tidemill_domain::{Code, GenerationName};
use tidemill_service::StartError;
use tidemill_stage::{Failure as _, StageFailure};

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A setting or a definition is wrong, or a store cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The log or a store does not do what it is asked.
    #[error(transparent)]
    Stage(#[from] StageFailure),
    /// The log does not have what was asked for, or what comes next.
    #[error(
        "the log begins at sequence {first}, behind {wanted}: what lies between is forgotten; begin at --from {first}, or \
         name the lake that has it, by --lake-url"
    )]
    LogForgotten {
        /// The first batch that it was to have.
        wanted: u64,
        /// The first that it has.
        first: u64,
    },
    /// Neither the log nor bronze has a part of what was asked for.
    #[error(
        "sequences {from} to {to} of RAW are neither in the log nor in bronze; begin behind them, at --from {}",
        to + 1
    )]
    BronzeGap {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The generation was begun in another way.
    #[error("generation {name} was begun with {what}; go on with that, or begin another one under another name")]
    Differs {
        /// The generation.
        name: GenerationName,
        /// What is not as it was.
        what: &'static str,
    },
    /// The store is that of another generation, or of none.
    #[error("there is no generation {name} in this store; `tidemill replay start` begins one")]
    Unknown {
        /// The generation that was meant.
        name: GenerationName,
    },
    /// The generation was given up.
    #[error("generation {name} was cancelled; begin another one under another name")]
    Cancelled {
        /// The generation.
        name: GenerationName,
    },
    /// Nobody runs the all-in-one there.
    #[error("{folder}: no suite runs with this folder; start it with `tidemill up --data {folder}`")]
    NoSuite {
        /// The folder.
        folder: String,
    },
}

impl From<tidemill_bus::Error> for ReplayError {
    fn from(error: tidemill_bus::Error) -> Self {
        Self::Stage(error.into())
    }
}

impl ReplayError {
    /// Its stable code, where it has one of its own.
    pub fn code(&self) -> Code {
        match self {
            Self::Start(_) | Self::NoSuite { .. } => Code::Definition,
            Self::Stage(failure) => failure.code(),
            Self::LogForgotten { .. } => Code::LogForgotten,
            Self::BronzeGap { .. } => Code::BronzeGap,
            Self::Differs { .. } | Self::Cancelled { .. } => Code::GenerationDiffers,
            Self::Unknown { .. } => Code::UnknownGeneration,
        }
    }
}
