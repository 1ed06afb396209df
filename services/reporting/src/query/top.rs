//! Which rows of an answer are told, where not all are.

use std::num::NonZeroU16;

use serde::Serialize;
use tidemill_service::FieldError;
use utoipa::ToSchema;

use crate::{catalogue::Metric, parameters::wrong};

/// Which rows an answer is cut down to: those with the largest values of a measure.
/// Rows that are equal to the last of them are told too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Top {
    /// So many of each point of a series, or of the totals.
    #[schema(value_type = u16, minimum = 1)]
    pub(super) rows: NonZeroU16,
    /// The measure.
    pub(super) by: String,
}

impl Top {
    /// Of the parameters of a question about `metric`.
    pub(super) fn asked(
        metric: &Metric,
        is_series: bool,
        rows: Option<NonZeroU16>,
        by: Option<String>,
    ) -> Result<Option<Self>, FieldError> {
        let (rows, by) = match (rows, by) {
            (None, None) => return Ok(None),
            (Some(rows), Some(by)) => (rows, by),
            (Some(_), None) => return Err(wrong("top_by", "is missing: it names the measure that `top` is of")),
            (None, Some(_)) => return Err(wrong("top", "is missing: it says how many rows `top_by` is to leave")),
        };
        if !metric.measures.iter().any(|measure| measure.name == by) {
            let measures: Vec<&str> = metric.measures.iter().map(|measure| measure.name.as_str()).collect();
            return Err(wrong("top_by", format!("{by:?} is no measure; there are {}", measures.join(", "))));
        }
        if is_series && metric.has_sessions() {
            return Err(wrong("top", "is of totals here: sessions begin when they like, and share no point"));
        }
        Ok(Some(Self { rows, by }))
    }
}
