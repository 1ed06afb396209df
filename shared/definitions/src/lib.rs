//! Definitions are data: YAML that ships with defaults for a shop, and that a
//! user changes without compiling. A wrong definition is refused when it is
//! loaded, with file, line and the reason.

mod condition;
mod data;
mod field;
mod load;
mod measure;
mod metric;
mod metrics;
mod named;
mod nesting;
mod numeric;
mod pattern;
mod plan;
mod repeated;
mod row;
mod scan;
mod segments;
mod total_place;
mod window;

pub use condition::Condition;
pub use data::Data;
pub use field::{Field, LineField, OrderField};
pub use load::{DefinitionError, from_yaml, read_folder, read_text, version_of};
pub use measure::{MeasureDefinition, MeasureKind};
pub use metric::{CURRENCY, MetricDefinition};
pub use metrics::Metrics;
pub use plan::{ComparisonPlan, Operand, Relation, Scalar};
pub use row::{Contribution, EventRow, RowValue, dimension_value};
pub use segments::{CustomerSegment, CustomerSegments};
pub use total_place::TotalPlace;
pub use window::{Window, parse_duration};
