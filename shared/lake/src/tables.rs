//! The tables, each as the type of its rows.

mod bronze;
mod gold;
mod silver;

pub use bronze::{BronzeEvent, RejectedBody};
pub use gold::QualityRow;
pub use silver::{OrderChange, QuarantinedEvent, SilverCustomer, SilverEvent, SilverOrder, SilverOrderLine};

use crate::TableDefinition;

/// All of them, for the reference.
pub const ALL: [TableDefinition; 8] = [
    BronzeEvent::TABLE,
    RejectedBody::TABLE,
    SilverEvent::TABLE,
    SilverOrderLine::TABLE,
    SilverOrder::TABLE,
    QuarantinedEvent::TABLE,
    SilverCustomer::TABLE,
    QualityRow::TABLE,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A folder that is no column, or a name twice, is told here and not by an engine.
    #[test]
    fn tables_are_sound() {
        let paths: BTreeSet<String> = ALL.iter().map(TableDefinition::path).collect();
        assert_eq!(paths.len(), ALL.len());
        for table in &ALL {
            let names: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(names.len(), table.columns.len(), "{table}");
            for named in table.partitioned_by.iter().chain(table.clustered_by).chain(table.looked_up_by) {
                assert!(names.contains(named), "{table} has no {named}");
            }
            assert!(table.columns.iter().all(|column| column.about.ends_with('.')), "{table}");
        }
    }
}
