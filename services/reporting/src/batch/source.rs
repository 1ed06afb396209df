//! Where the numbers of an answer come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::{Partition, Timestamp};
use tidemill_totals::TotalsSource;
use utoipa::ToSchema;

/// Where numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerSource {
    /// The stream.
    #[default]
    Speed,
    /// A batch view.
    Batch,
    /// Some of the totals are the stream's, and some are of a batch view.
    Merged,
}

impl From<TotalsSource> for AnswerSource {
    fn from(source: TotalsSource) -> Self {
        match source {
            TotalsSource::Speed => Self::Speed,
            TotalsSource::Batch => Self::Batch,
        }
    }
}

impl AnswerSource {
    /// Of both together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Merged }
    }

    /// As JSON has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Batch => "batch",
            Self::Merged => "merged",
        }
    }
}

/// The newest batch view of a metric that was told to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LandedView {
    pub(crate) metric: String,
    pub(crate) version: String,
    pub(crate) number: u64,
    pub(crate) since: Timestamp,
    pub(crate) computed_at: Timestamp,
    pub(crate) landed_at: Timestamp,
    /// By partition, the `RAW` sequence that it reaches.
    pub(crate) reaches: BTreeMap<Partition, u64>,
    /// Totals of it that were compared with the stream's.
    pub(crate) compared: u64,
}

/// What an answer is made of, where there is a batch view: of each cell and partition, what reaches further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AnswerParts {
    /// By partition, the `RAW` sequence up to which the stream is counted.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub(crate) speed: BTreeMap<Partition, u64>,
    /// The batch view.
    pub(crate) batch: AnsweringView,
}

/// The batch view of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AnsweringView {
    /// A higher number is a newer view.
    pub(crate) view: u64,
    /// It has windows that start then or later.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    /// When it was computed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) computed_at: Timestamp,
    /// By partition, the `RAW` sequence that it reaches.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub(crate) positions: BTreeMap<Partition, u64>,
}

impl AnswerParts {
    /// Of a view, where the stream is so far.
    pub(crate) fn of(view: LandedView, speed: BTreeMap<Partition, u64>) -> Self {
        let LandedView { number, since, computed_at, reaches, .. } = view;
        Self { speed, batch: AnsweringView { view: number, since, computed_at, positions: reaches } }
    }
}
