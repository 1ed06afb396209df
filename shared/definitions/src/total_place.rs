//! Where a total is found that a metric's own counts do not add up to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A measure of another metric: `order_metrics.orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TotalPlace {
    /// The metric's name.
    pub metric: String,
    /// The name of one of its measures.
    pub measure: String,
}

impl TryFrom<String> for TotalPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('.') {
            Some((metric, measure)) if !metric.is_empty() && !measure.is_empty() && !measure.contains('.') => {
                Ok(Self { metric: metric.into(), measure: measure.into() })
            }
            _ => Err(format!("`total: {text}`: a total is named METRIC.MEASURE, for instance order_metrics.orders")),
        }
    }
}

impl From<TotalPlace> for String {
    fn from(place: TotalPlace) -> Self {
        place.to_string()
    }
}

impl fmt::Display for TotalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.metric, self.measure)
    }
}
