//! Batch plans: what the stream counts, computed from the lake's tables.

mod amounts;
mod bronze;
mod columns;
mod customers;
mod dialect;
mod engine;
mod error;
mod gold;
mod layers;
mod lineage;
mod plan;
mod quality;
mod rows;
mod session;
mod sketches;
#[cfg(test)]
mod tests;
mod views;

pub use bronze::{BronzeBatch, BronzeExtent, BronzeFrom, BronzePage, BronzeQuestion};
pub use customers::Customers;
pub use dialect::SqlDialect;
pub use engine::{
    Answer, AsOf, ColumnState, QueryTurn, ResultFormat, SqlEngine, SqlLimits, TableListing, TableState, UnreadableTable,
};
pub use error::SqlError;
pub use gold::{Gold, RebuiltDays, RebuiltFolder, RebuiltTable, RefreshStep, RefreshTold, Refreshed};
pub use lineage::{
    CellLineage, EventLineage, EventPosition, EventSummary, LeftOutEvents, LeftOutReason, Lineage, LineageError,
    LineageQuestion, LogReach, RowLineage, TableLineage,
};
pub use plan::{MetricPlan, PlanError, Scope};
pub use quality::{
    FileCounts, KnownCounts, LagQuantiles, MeasuredInterval, MeasuredTable, NewestEvents, QualityFigure, QualityTerms,
    RuleCount,
};
pub use views::{ComputedView, ViewPart, ViewReach, ViewSource};
