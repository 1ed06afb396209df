//! Batches that follow each other.

use tidemill_domain::Timestamp;

/// Consecutive batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSpan {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The log's clock at both.
    pub(crate) first_clock: Timestamp,
    pub(crate) last_clock: Timestamp,
}
