//! How far the log is in a table.

use std::{collections::BTreeMap, fmt};

use deltalake::kernel::Transaction;
use tidemill_domain::Partition;

use crate::definition::TableDefinition;

/// Who writes to a table, as its transactions name it: one name for each table and
/// partition of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(String, AppKind);

/// What the versions of a writer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum AppKind {
    /// Sequences of the log, which rows have too.
    Sequences,
    /// Numbers of redrives: all rows of a part are of one.
    Redrives,
}

impl AppId {
    /// Of a partition of the log.
    pub fn of(table: &TableDefinition, partition: Partition) -> Self {
        Self(format!("{}/{partition}", table.path()), AppKind::Sequences)
    }

    /// Of a stream that is not partitioned.
    pub fn of_stream(table: &TableDefinition) -> Self {
        Self(table.path(), AppKind::Sequences)
    }

    /// Of what comes out of the quarantine: its versions are numbers of redrives.
    pub fn of_redrives(table: &TableDefinition) -> Self {
        Self(format!("{}/redrive", table.path()), AppKind::Redrives)
    }

    /// Whether all rows of a part belong to the version that it reaches.
    pub const fn is_of_redrives(&self) -> bool {
        matches!(self.1, AppKind::Redrives)
    }

    /// By a name that no partition has.
    pub(crate) const fn named(name: String) -> Self {
        Self(name, AppKind::Sequences)
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
