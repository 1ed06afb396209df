//! Event time, by source: what is late, and how far a partition is known. What
//! is late follows from the event times in the log alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidemill_domain::Timestamp;

use crate::config::Windows;

/// Sources beyond the bound share this clock.
const OTHER_SOURCES: &str = "(other)";
const DAY: i64 = 24 * 3_600_000;

/// Event time of one source, as far as its events have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceClock {
    /// The newest event time.
    newest: Timestamp,
    /// When, by this process's clock, the source last said anything: for
    /// completeness alone.
    heard_at: Timestamp,
}

/// The clocks of a partition's sources.
#[derive(Debug)]
pub(crate) struct Clocks {
    by_source: BTreeMap<String, SourceClock>,
    /// The furthest of them.
    furthest: Option<Timestamp>,
    /// Those that moved since they were last asked for.
    moved: BTreeSet<String>,
    windows: Arc<Windows>,
}

impl Clocks {
    pub(crate) fn new(windows: Arc<Windows>) -> Self {
        Self { by_source: BTreeMap::new(), furthest: None, moved: BTreeSet::new(), windows }
    }

    /// A clock as it was checkpointed. Its source counts as heard of `now`: who takes
    /// a partition over gives its sources time to speak before it calls them
    /// idle.
    pub(crate) fn restore(&mut self, source: String, newest: Timestamp, now: Timestamp) {
        self.furthest = self.furthest.max(Some(newest));
        self.by_source.insert(source, SourceClock { newest, heard_at: now });
    }

    /// Whether an event comes past the allowed lateness of its source, or
    /// belongs to a time that is not kept any more.
    pub(crate) fn is_late(&self, source: &str, time: Timestamp) -> bool {
        let allowed = i64::from(self.windows.allowed_lateness_seconds) * 1000;
        let passed = |clock: &SourceClock| time.plus_millis(allowed) < self.watermark_of(clock);
        self.clock_of(source).is_some_and(passed) || self.forgotten_before().is_some_and(|end| time < end)
    }

    /// What ended by then is kept no more: no event is counted into it. `None`
    /// where everything is kept. A matter of the log alone, like lateness.
    pub(crate) fn forgotten_before(&self) -> Option<Timestamp> {
        match self.windows.retention_days {
            0 => None,
            days => self.furthest.map(|furthest| furthest.plus_millis(-i64::from(days) * DAY)),
        }
    }

    /// An event was met. One far ahead of its ingestion moves no clock: one
    /// wrong clock must not make all others late.
    pub(crate) fn advance(&mut self, source: &str, time: Timestamp, ingested_at: Timestamp, now: Timestamp) {
        let horizon = ingested_at.plus_millis(i64::from(self.windows.max_future_seconds) * 1000);
        if time > horizon {
            return;
        }
        let name = if self.is_full() && !self.by_source.contains_key(source) { OTHER_SOURCES } else { source };
        self.furthest = self.furthest.max(Some(time));
        let newest = match self.by_source.get_mut(name) {
            Some(clock) => {
                let before = clock.newest;
                *clock = SourceClock { newest: before.max(time), heard_at: now };
                clock.newest > before
            }
            None => {
                self.by_source.insert(name.to_owned(), SourceClock { newest: time, heard_at: now });
                true
            }
        };
        if newest && !self.moved.contains(name) {
            self.moved.insert(name.to_owned());
        }
    }

    /// Event time up to which the partition's live sources are known, and
    /// whether all of them are idle. With none live it is how far the furthest
    /// came.
    pub(crate) fn watermark(&self, now: Timestamp) -> (Option<Timestamp>, bool) {
        let silent_since = now.plus_millis(-i64::from(self.windows.idle_after_seconds) * 1000);
        let live = self.by_source.values().filter(|clock| clock.heard_at > silent_since);
        match live.map(|clock| self.watermark_of(clock)).min() {
            Some(watermark) => (Some(watermark), false),
            None => (self.by_source.values().map(|clock| self.watermark_of(clock)).max(), true),
        }
    }

    /// The clocks that moved since the last call, with their newest event
    /// times.
    pub(crate) fn take_moved(&mut self) -> Vec<(String, Timestamp)> {
        let moved = std::mem::take(&mut self.moved);
        moved
            .into_iter()
            .filter_map(|source| self.by_source.get(&source).map(|c| c.newest).map(|at| (source, at)))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_source.len()
    }

    fn is_full(&self) -> bool {
        self.by_source.len() >= self.windows.max_sources as usize
    }

    fn clock_of(&self, source: &str) -> Option<&SourceClock> {
        match self.by_source.get(source) {
            None if self.is_full() => self.by_source.get(OTHER_SOURCES),
            clock => clock,
        }
    }

    fn watermark_of(&self, clock: &SourceClock) -> Timestamp {
        clock.newest.plus_millis(-i64::from(self.windows.out_of_orderness_seconds) * 1000)
    }
}

#[cfg(test)]
mod tests;
