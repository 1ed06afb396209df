//! Batch plans: what the stream counts, computed from the lake's tables.

mod amounts;
mod columns;
mod dialect;
mod engine;
mod error;
mod gold;
mod layers;
mod plan;
mod rows;
mod session;
mod sketches;
#[cfg(test)]
mod tests;

pub use dialect::SqlDialect;
pub use engine::{
    Answer, AsOf, ColumnState, ResultFormat, SqlEngine, SqlLimits, TableListing, TableState, UnreadableTable,
};
pub use error::SqlError;
pub use gold::{CustomerSegments, Gold, Refreshed};
pub use plan::{MetricPlan, PlanError, Scope};
