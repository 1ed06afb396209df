//! What is told of a run.

use deltalake::DeltaTable;

use crate::{
    SqlError,
    engine::{ColumnState, columns_of},
};

/// What a run did for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The table.
    pub table: String,
    /// Days that were computed; `None` where all were.
    pub days: Option<usize>,
    /// Its version then.
    pub version: u64,
    /// Its columns then.
    pub columns: Vec<ColumnState>,
}

/// How a run goes, table by table.
#[derive(Debug)]
pub enum RefreshStep<'s> {
    /// A table begins: there is more than it has.
    Begins {
        /// Its name, for instance `gold.revenue`.
        table: &'s str,
        /// The paths of the tables that it is computed from.
        reads: &'static [&'static str],
        /// How far those are, in words: the same work has the same ones.
        reaches: String,
    },
    /// It has all of it.
    Done(&'s Refreshed),
}

/// Who is told of steps.
pub type RefreshTold<'t> = &'t mut (dyn for<'s> FnMut(RefreshStep<'s>) + Send);

impl Refreshed {
    /// The table at this path, as it was written.
    pub(crate) fn of(path: &str, days: Option<usize>, table: &DeltaTable) -> Result<Self, SqlError> {
        let version = table.version().unwrap_or_default();
        Ok(Self { table: path.replace('/', "."), days, version, columns: columns_of(path, table)? })
    }
}
