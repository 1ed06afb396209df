//! Event time, by source: what is late, and how far a partition is known. What
//! is late follows from the event times in the log alone.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_domain::Timestamp;

use crate::rules::EventTimeRules;

const DAY: i64 = 24 * 3_600_000;

/// Event time of one source, as far as its events have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceClock {
    /// The newest event time.
    newest: Timestamp,
    /// The place of its last event among those that a clock was asked for: what
    /// decides which source is dropped.
    met: u64,
    /// When, by this process's clock, the source last said anything: for
    /// completeness alone.
    heard_at: Timestamp,
    /// The store does not have it like this.
    is_changed: bool,
}

/// The clocks of a partition's sources: of those that were met most recently. A
/// source whose clock was dropped starts afresh, so no source is ever late by
/// the events of another.
#[derive(Debug)]
pub struct Clocks {
    by_source: BTreeMap<String, SourceClock>,
    /// The furthest that any clock ever stood.
    furthest: Option<Timestamp>,
    /// How often a source was met.
    met: u64,
    /// Sources that were dropped since that was last asked for.
    dropped: BTreeSet<String>,
    rules: EventTimeRules,
}

/// A clock as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClock {
    /// Whose it is.
    pub source: String,
    /// The newest event time.
    pub newest: Timestamp,
    /// The place of the source's last event among those that were met.
    pub met: u64,
}

/// The clocks as the store keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredClocks {
    /// Those of the sources.
    pub clocks: Vec<StoredClock>,
    /// The furthest that any clock ever stood.
    pub furthest: Option<Timestamp>,
}

/// What became of the clocks between two checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClockChanges {
    /// Those that moved, or whose source was met.
    pub moved: Vec<StoredClock>,
    /// Sources that have none any more.
    pub dropped: Vec<String>,
    /// The furthest that any clock ever stood.
    pub furthest: Option<Timestamp>,
}

impl ClockChanges {
    /// Adds what became of the clocks behind these changes. A source that was dropped and
    /// met again stays among those that were dropped: these come first.
    pub fn add(&mut self, later: Self) {
        let Self { moved, dropped, furthest } = later;
        let is_later: BTreeSet<&String> = moved.iter().map(|clock| &clock.source).chain(&dropped).collect();
        self.moved.retain(|clock| !is_later.contains(&clock.source));
        self.moved.extend(moved);
        self.dropped.extend(dropped);
        self.furthest = furthest;
    }
}

impl Clocks {
    /// None yet.
    pub fn new(rules: EventTimeRules) -> Self {
        Self { by_source: BTreeMap::new(), furthest: None, met: 0, dropped: BTreeSet::new(), rules }
    }

    /// The clocks as they were checkpointed. Their sources count as heard of `now`:
    /// who takes a partition over gives its sources time to speak before it
    /// calls them idle.
    pub fn restore(rules: EventTimeRules, stored: StoredClocks, now: Timestamp) -> Self {
        let StoredClocks { clocks, furthest } = stored;
        let met = clocks.iter().map(|clock| clock.met).max().unwrap_or_default();
        let by_source = clocks.into_iter().map(|StoredClock { source, newest, met }| {
            (source, SourceClock { newest, met, heard_at: now, is_changed: false })
        });
        Self { by_source: by_source.collect(), furthest, met, ..Self::new(rules) }
    }

    /// Whether an event comes past the allowed lateness of its source, or
    /// belongs to a time that is not kept any more.
    pub fn is_late(&self, source: &str, time: Timestamp) -> bool {
        let allowed = i64::from(self.rules.allowed_lateness_seconds) * 1000;
        let passed = |clock: &SourceClock| time.plus_millis(allowed) < self.watermark_of(clock);
        self.by_source.get(source).is_some_and(passed) || self.is_forgotten(time)
    }

    /// Whether an event belongs to a time that is not kept any more.
    pub fn is_forgotten(&self, time: Timestamp) -> bool {
        self.forgotten_before().is_some_and(|end| time < end)
    }

    /// What ended by then is kept no more: no event is counted into it. `None`
    /// where everything is kept. A matter of the log alone, like lateness.
    pub fn forgotten_before(&self) -> Option<Timestamp> {
        match self.rules.retention_days {
            0 => None,
            days => self.furthest.map(|furthest| furthest.plus_millis(-i64::from(days) * DAY)),
        }
    }

    /// An event was met. One far ahead of its ingestion moves no clock: one
    /// wrong clock must not make all others late.
    pub fn advance(&mut self, source: &str, time: Timestamp, ingested_at: Timestamp, now: Timestamp) {
        let horizon = ingested_at.plus_millis(i64::from(self.rules.max_future_seconds) * 1000);
        if time > horizon {
            return;
        }
        self.furthest = self.furthest.max(Some(time));
        self.met += 1;
        let fresh = SourceClock { newest: time, met: self.met, heard_at: now, is_changed: true };
        if let Some(clock) = self.by_source.get_mut(source) {
            *clock = SourceClock { newest: clock.newest.max(time), ..fresh };
            return;
        }
        while self.by_source.len() >= self.rules.max_sources.max(1) as usize {
            self.drop_one();
        }
        self.dropped.remove(source);
        self.by_source.insert(source.to_owned(), fresh);
    }

    /// Drops the source that was not met for longest.
    fn drop_one(&mut self) {
        let oldest = self.by_source.iter().min_by_key(|(source, clock)| (clock.met, *source));
        if let Some(source) = oldest.map(|(source, _)| source.clone()) {
            self.by_source.remove(&source);
            self.dropped.insert(source);
        }
    }

    /// Event time up to which the partition's live sources are known, and
    /// whether all of them are idle. With none live it is how far the furthest
    /// came. A source that has said nothing since `silent_since` is idle.
    pub fn watermark(&self, silent_since: Timestamp) -> (Option<Timestamp>, bool) {
        let live = self.by_source.values().filter(|clock| clock.heard_at > silent_since);
        match live.map(|clock| self.watermark_of(clock)).min() {
            Some(watermark) => (Some(watermark), false),
            None => (self.by_source.values().map(|clock| self.watermark_of(clock)).max(), true),
        }
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> ClockChanges {
        let mut moved = Vec::new();
        for (source, clock) in &mut self.by_source {
            if std::mem::take(&mut clock.is_changed) {
                moved.push(StoredClock { source: source.clone(), newest: clock.newest, met: clock.met });
            }
        }
        let dropped = std::mem::take(&mut self.dropped).into_iter().collect();
        ClockChanges { moved, dropped, furthest: self.furthest }
    }

    /// Sources that have a clock.
    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    /// Whether no source has one.
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }

    fn watermark_of(&self, clock: &SourceClock) -> Timestamp {
        clock.newest.plus_millis(-i64::from(self.rules.out_of_orderness_seconds) * 1000)
    }
}

#[cfg(test)]
mod tests;
