//! What is told of a run.

/// What a run did for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The table.
    pub table: String,
    /// Days that were computed; `None` where all were.
    pub days: Option<usize>,
    /// Its version then.
    pub version: u64,
}
