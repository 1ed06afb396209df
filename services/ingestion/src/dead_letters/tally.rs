//! Rejected events that are not kept: they are counted all the same, so that
//! the books balance.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tidemill_domain::{Code, SourceName, Timestamp};
use tidemill_service::Caller;

/// Lines that are counted apart; further ones share a line without source and
/// caller. So this also bounds how many letters go out at once.
const MOST_LINES: usize = 64;
/// Why a rejected event is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotKept {
    /// Its caller's budget of dead letters is used up.
    Budget,
    /// The stream of dead letters is full.
    Full,
}

impl NotKept {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Full => "full",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Budget => "the budget of dead letters was used up",
            Self::Full => "the stream of dead letters was full",
        }
    }
}

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TallyKey {
    pub(super) code: Code,
    pub(super) why: NotKept,
    pub(super) source: String,
    /// The caller by its public name; empty where lines are thrown together.
    pub(super) caller: String,
    /// The hour, since the books are kept by hours.
    hour: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) events: u64,
    pub(super) first: Timestamp,
}

/// Counts that are yet to go out.
#[derive(Debug, Default)]
pub(crate) struct RejectedTally(Mutex<BTreeMap<TallyKey, Count>>);

impl RejectedTally {
    /// Counts events.
    pub(crate) fn add(
        &self,
        caller: &Caller,
        source: Option<&SourceName>,
        code: Code,
        why: NotKept,
        events: u64,
        now: Timestamp,
    ) {
        let source = source.map_or(SourceName::UNKNOWN, SourceName::as_str).to_owned();
        let mut line = TallyKey { code, why, source, caller: caller.to_string(), hour: now.floor_to(3_600_000) };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST_LINES && !lines.contains_key(&line) {
            line =
                TallyKey { source: SourceName::UNKNOWN.into(), caller: String::new(), hour: Timestamp::EPOCH, ..line };
        }
        lines.entry(line).or_insert(Count { events: 0, first: now }).events += events;
    }

    /// What was counted since it was last taken.
    pub(super) fn take(&self) -> BTreeMap<TallyKey, Count> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
