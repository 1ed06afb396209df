//! Where a row stands.

use tidemill_domain::Timestamp;

/// Where a row stands in the log, and how it came into silver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventPlace {
    pub(crate) partition: i32,
    pub(crate) raw_seq: i64,
    pub(crate) index: i32,
    /// When ingestion took it in.
    pub(crate) received: Timestamp,
    pub(crate) late: bool,
    /// The redrive that took it out of the quarantine.
    pub(crate) redrive: Option<i64>,
}
