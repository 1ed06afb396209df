//! What is asked.

use std::collections::BTreeMap;

use tidemill_definitions::dimension_value;
use tidemill_domain::Timestamp;

use super::{EventPosition, LineageError};
use crate::{MetricPlan, SqlDialect};

/// Which number, and which of its events are told.
#[derive(Debug, Clone)]
pub struct LineageQuestion {
    /// The metric.
    pub metric: String,
    /// A time in the window.
    pub window: Timestamp,
    /// Values of dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// How many events are told.
    pub limit: usize,
    /// Events behind this one are.
    pub after: Option<EventPosition>,
}

/// A dimension that has to have a value.
#[derive(Debug, Clone)]
pub(super) struct DimensionFilter {
    pub(super) name: String,
    /// The dimension's column.
    pub(super) column: String,
    pub(super) value: String,
}

impl LineageQuestion {
    /// Events that are told unless a question says how many.
    pub const EVENTS: usize = 20;
    /// Events that are told at most.
    pub const MOST_EVENTS: usize = 500;

    /// The dimensions that are named; one that the metric has not is refused.
    pub(super) fn filters(&self, plan: &MetricPlan) -> Result<Vec<DimensionFilter>, LineageError> {
        let names = || plan.metric().dimensions.keys();
        let filter = |(name, value): (&String, &String)| {
            let place = names().position(|known| known == name);
            let column = place.and_then(|place| plan.columns().dimensions.get(place));
            let known = || names().cloned().collect::<Vec<_>>().join(", ");
            let column = column.ok_or_else(|| LineageError::UnknownDimension { name: name.clone(), known: known() })?;
            // A filter may give the whole of what is cut.
            let value = dimension_value(value).into_owned();
            Ok(DimensionFilter { name: name.clone(), column: column.clone(), value })
        };
        self.dimensions.iter().map(filter).collect()
    }
}

impl DimensionFilter {
    pub(super) fn sql(&self) -> String {
        let dialect = SqlDialect::DataFusion;
        format!("{} = {}", dialect.name(&self.column), dialect.text(&self.value))
    }
}
