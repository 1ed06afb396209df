//! Events that are in no total because they were late, or because the store
//! refused them. One that comes again as history is counted, once, although
//! enrichment knows it for a duplicate. So is another event about the same.

use std::collections::HashMap;

use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedEventRef, StreamName};
use xxhash_rust::xxh3::xxh3_128;

/// An event's name: a hash of its source and its id; or, where its type has a
/// business key, what it is about, since others may tell of that too.
pub type EventName = [u8; 16];

/// The name of an event.
pub fn key_of(event: &EnrichedEventRef<'_>) -> EventName {
    let about = event.enriched.as_ref().and_then(|enrichment| enrichment.about.as_deref());
    if let Some(about) = about.and_then(|digits| u128::from_str_radix(digits, 16).ok()) {
        return about.to_be_bytes();
    }
    let mut name = Vec::with_capacity(event.source.len() + event.id.len() + 1);
    name.extend_from_slice(event.source.as_bytes());
    // Neither holds control characters, so no two pairs read alike.
    name.push(0);
    name.extend_from_slice(event.id.as_bytes());
    xxh3_128(&name).to_be_bytes()
}

/// For how long an event is known as left out, by the log's clock, in
/// milliseconds: as long as `LATE` and `DLQ` have it.
pub fn kept_millis() -> i64 {
    i64::try_from(StreamName::Late.max_age().as_millis()).unwrap_or(i64::MAX)
}

/// The events of a partition that were left out, as far as the store has them not,
/// or not as they stand now.
#[derive(Debug, Default)]
pub struct LeftOut {
    events: HashMap<EventName, Standing>,
    /// Whether the partition may have any.
    has_any: bool,
}

/// Where one event stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// When it was left out, by the log's clock; `None` where it is not left out.
    since: Option<Timestamp>,
    /// The batch that left it out or counted it; 0 where it is as in the store.
    raw_seq: u64,
    is_changed: bool,
}

impl LeftOut {
    /// Of a partition whose store has some, or none.
    pub fn new(has_any: bool) -> Self {
        Self { events: HashMap::new(), has_any }
    }

    /// Of these events, those that have to be looked up in the store.
    pub fn unknown(&self, keys: impl Iterator<Item = EventName>) -> Vec<EventName> {
        if !self.has_any {
            return Vec::new();
        }
        let mut unknown: Vec<_> = keys.filter(|key| !self.events.contains_key(key)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Takes in what the store has.
    pub fn insert(&mut self, key: EventName, since: Timestamp) {
        self.events.insert(key, Standing { since: Some(since), raw_seq: 0, is_changed: false });
    }

    /// Whether an event is left out, as of a time of the log's clock.
    pub fn has(&self, key: &EventName, now: Timestamp) -> bool {
        let since = self.events.get(key).and_then(|standing| standing.since);
        since.is_some_and(|since| since.plus_millis(kept_millis()) >= now)
    }

    /// An event was left out of all totals.
    pub fn note(&mut self, key: EventName, since: Timestamp, raw_seq: u64) {
        self.has_any = true;
        self.events.insert(key, Standing { since: Some(since), raw_seq, is_changed: true });
    }

    /// An event that was left out is counted after all.
    pub fn counted(&mut self, key: EventName, raw_seq: u64) {
        self.events.insert(key, Standing { since: None, raw_seq, is_changed: true });
    }

    /// What changed since the last call: since when an event is left out, or that it
    /// is not any more.
    pub fn take_changes(&mut self) -> Vec<(EventName, Option<Timestamp>)> {
        let changed = self.events.iter_mut().filter(|(_, standing)| standing.is_changed);
        changed
            .map(|(key, standing)| {
                standing.is_changed = false;
                (*key, standing.since)
            })
            .collect()
    }

    /// Everything up to `floor` is in the store.
    pub fn committed(&mut self, floor: u64) {
        self.events.retain(|_, standing| standing.raw_seq > floor);
    }
}
