//! How much is remembered: at most, and now.

use tidemill_domain::Timestamp;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryLimits {
    /// For how long, by the log's clock.
    pub(crate) horizon_millis: i64,
    /// The steps in which the horizon moves: runs tell no time closer than that.
    pub(crate) tick_millis: u32,
    /// How many keys the table has, about: one of each event, and a business key
    /// of some. Beyond that the oldest are sealed.
    pub(crate) keys: usize,
    /// How many keys are sealed at most.
    pub(crate) sealed_keys: u64,
    /// How many keys of a range of keys are in one run, about, when all is merged.
    pub(crate) run_keys: u64,
}

impl MemoryLimits {
    /// What was seen before this is forgotten: the horizon, in whole ticks.
    pub(super) fn oldest(&self, clock: Timestamp) -> Timestamp {
        clock.plus_millis(-self.horizon_millis).floor_to(self.tick_millis.into())
    }
}

/// How much a partition remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemorySize {
    /// Keys in the table.
    pub(crate) keys: usize,
    /// Sealed keys.
    pub(crate) sealed_keys: u64,
    /// In how many runs and segments.
    pub(crate) runs: usize,
    /// What their filters take.
    pub(crate) filter_bytes: usize,
    /// How far back all reach, in milliseconds of the log's clock.
    pub(crate) span_millis: i64,
}
