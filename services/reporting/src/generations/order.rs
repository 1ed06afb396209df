//! What is asked of a generation, and what was done.

use serde::{Deserialize, Serialize};
use tidemill_domain::{Timestamp, text::has_control};
use tidemill_service::FieldError;
use utoipa::ToSchema;

use crate::error::Error;

/// Characters of `by` and of `reason`.
const MAX_NAME: usize = 200;
const MAX_REASON: usize = 2000;
/// Hours that a generation may be kept: a year.
const MAX_WARM: u32 = 8760;
const HOUR: i64 = 3_600_000;

/// What is done with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GenerationAct {
    /// Metrics are answered by it from here on.
    Cutover,
    /// They are answered again by what they were answered by before.
    Rollback,
    /// It is gone.
    Retire,
}

impl GenerationAct {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cutover => "cutover",
            Self::Rollback => "rollback",
            Self::Retire => "retire",
        }
    }

    /// The one of this name.
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Cutover, Self::Rollback, Self::Retire].into_iter().find(|act| act.as_str() == text)
    }
}

/// What is asked of a generation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationRequest {
    /// These metrics; without it, all that the generation has.
    #[schema(min_items = 1)]
    pub(crate) metrics: Option<Vec<String>>,
    /// Who asks for it.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) by: String,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub(crate) reason: String,
    /// Also where it has not counted as far as the live totals.
    #[serde(default)]
    pub(crate) force: bool,
    /// Of a cutover: hours after which the generations that answer nothing any more by it
    /// are retired. Until then they can be rolled back to. Without it they stay.
    #[schema(minimum = 1, maximum = 8760)]
    pub(crate) warm_hours: Option<u32>,
}

impl GenerationRequest {
    /// Checks it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: &str, detail: String| {
            errors.push(FieldError { pointer: pointer.into(), detail });
        };
        let length = self.by.chars().count();
        if self.by.trim().is_empty() || length > MAX_NAME || has_control(&self.by) {
            wrong("/by", format!("must have 1 to {MAX_NAME} characters, none of them a control character"));
        }
        if self.reason.chars().count() > MAX_REASON || self.reason.contains('\0') {
            wrong("/reason", format!("must have at most {MAX_REASON} characters, and no NUL"));
        }
        if self.metrics.as_ref().is_some_and(Vec::is_empty) {
            wrong("/metrics", "must name a metric, or be left out for all".into());
        }
        if self.warm_hours.is_some_and(|hours| !(1..=MAX_WARM).contains(&hours)) {
            wrong("/warm_hours", format!("must be 1 to {MAX_WARM}"));
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::Request(errors)) }
    }
}

/// What is to be done, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct GenerationOrder {
    pub(crate) act: GenerationAct,
    /// The generation's name.
    pub(crate) generation: String,
    /// Who ordered it, by their own word.
    pub(crate) by: String,
    /// Whose key was used.
    pub(crate) key: String,
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
    /// See [`GenerationRequest::warm_hours`].
    pub(crate) warm_hours: Option<u32>,
}

impl GenerationOrder {
    /// When the generations that a cutover replaces are to be retired.
    pub(crate) fn warm_until(&self) -> Option<Timestamp> {
        self.warm_hours.map(|hours| self.at.plus_millis(i64::from(hours) * HOUR))
    }

    /// What follows from an earlier cutover: a generation has been warm for long enough.
    pub(crate) fn cooled_down(generation: String, at: Timestamp) -> Self {
        let reason = "it was replaced by a cutover, and has been kept for as long as that said".into();
        let (act, by, key) = (GenerationAct::Retire, "tidemill".into(), String::new());
        Self { act, generation, by, key, reason, at, warm_hours: None }
    }
}

/// What a metric is answered by, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ServedChange {
    /// The metric.
    pub(crate) metric: String,
    /// The version before; empty for the live one.
    pub(crate) before: String,
    /// The version from here on.
    pub(crate) after: String,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OrderedChange {
    /// Changes are numbered in their order.
    pub(crate) number: u64,
    /// `cutover`, `rollback` or `retire`.
    pub(crate) act: GenerationAct,
    /// The generation.
    pub(crate) generation: String,
    /// What changed; of `retire` nothing.
    #[serde(flatten)]
    pub(crate) change: ServedChange,
    /// Who ordered it.
    pub(crate) by: String,
    /// Whose key was used.
    pub(crate) key: String,
    /// Why.
    pub(crate) reason: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
}
