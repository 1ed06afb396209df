//! How far the log is in a table.

use std::{collections::BTreeMap, fmt};

use deltalake::kernel::Transaction;
use tidemill_domain::Partition;

use crate::definition::TableDefinition;

/// Who writes to a table, as its transactions name it: one name for each table and
/// partition of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(String);

impl AppId {
    /// Of a partition of the log.
    pub fn of(table: &TableDefinition, partition: Partition) -> Self {
        Self(format!("{}/{partition}", table.path()))
    }

    /// Of a stream that is not partitioned.
    pub fn of_stream(table: &TableDefinition) -> Self {
        Self(table.path())
    }

    /// By a name that no partition has.
    pub(crate) const fn named(name: String) -> Self {
        Self(name)
    }

    /// As transactions have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The transaction that says that `sequence` is reached.
    pub(crate) fn transaction(&self, sequence: i64) -> Transaction {
        Transaction::new(&self.0, sequence)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last sequence that is in a table, by who writes; 0 for none.
pub type Reached = BTreeMap<AppId, i64>;
