//! Where a table stands.

use tidemill_domain::Timestamp;

/// Where a table stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TableStanding {
    /// The newest version that this replica has made.
    pub(crate) version: Option<u64>,
    /// When ingestion took the newest batch in that is in it.
    pub(crate) reached: Option<Timestamp>,
}
