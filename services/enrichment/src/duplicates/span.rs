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

impl BatchSpan {
    /// From the first batch of both to the last, whichever has them. An end that is too early
    /// would let keys be forgotten before their time.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            first_clock: self.first_clock.min(other.first_clock),
            last_clock: self.last_clock.max(other.last_clock),
        }
    }
}
