//! Definitions are data: YAML that ships with defaults for a shop, and that a
//! user changes without compiling. A wrong definition is refused when it is
//! loaded, with file, line and the reason.

mod condition;
mod field;
mod load;
mod metric;
mod row;

pub use condition::Condition;
pub use field::Field;
pub use load::{DefinitionError, from_yaml, read_folder, version_of};
pub use metric::{MeasureDefinition, MeasureKind, MetricDefinition, Metrics, Window, parse_duration};
pub use row::{Contribution, Data, RowValue};
