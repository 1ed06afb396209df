//! Why a number's lineage is not told.

use tidemill_domain::{Code, Timestamp};

use crate::SqlError;

/// Why a number's lineage is not told.
#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    /// No table of gold has this name.
    #[error("there is no metric {name:?}; there are {known}")]
    UnknownMetric {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The metric is not split by it.
    #[error("the metric has no dimension {name:?}; there are {known}")]
    UnknownDimension {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Gold has not computed the metric, as it is defined now.
    #[error("gold has not computed {0} yet, as it is defined now: ask again after its next run")]
    NotComputed(String),
    /// Nothing counts in the window.
    #[error("{metric} has nothing in the window of {asked}; {nearest}")]
    NoWindow {
        /// The metric.
        metric: String,
        /// What was asked for.
        asked: Timestamp,
        /// Windows that have something.
        nearest: String,
    },
    /// Retention has dropped what the numbers of the window were made of.
    #[error("silver has all events since {since}, and of the window's none or only some: its numbers cannot be traced")]
    EventsDropped {
        /// From when on all are there.
        since: Timestamp,
    },
    /// A dimension has no such value in the window.
    #[error("{dimension} is not {value:?} in that window; there are {known}")]
    UnknownValue {
        /// The dimension.
        dimension: String,
        /// What was asked for.
        value: String,
        /// What there is.
        known: String,
    },
    /// Each value is there, but not together.
    #[error("no number of that window has all of these values")]
    NotTogether,
    /// It is not one number, nor a few.
    #[error("the window has more than {most} numbers: name a value of {dimensions}")]
    TooManyNumbers {
        /// How many are told.
        most: usize,
        /// What they are split by.
        dimensions: String,
    },
    /// The tables cannot be asked.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl LineageError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::UnknownMetric { .. } => Code::UnknownMetric,
            Self::UnknownDimension { .. }
            | Self::TooManyNumbers { .. }
            | Self::NoWindow { .. }
            | Self::EventsDropped { .. }
            | Self::UnknownValue { .. }
            | Self::NotTogether => Code::InvalidParameter,
            Self::NotComputed(_) => Code::Unavailable,
            Self::Sql(error) => error.code(),
        }
    }
}
