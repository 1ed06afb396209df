//! What becomes of an event.

use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use crate::{
    clocks::Clocks,
    left_out::{EventName, LeftOut, key_of},
};

/// What became of an event. Every event has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// In the totals.
    Counted,
    /// Past the allowed lateness.
    Late,
    /// Seen before.
    Duplicate,
    /// What it is about was seen before, under another source or id: a
    /// duplicate too.
    Repeated,
}

impl Outcome {
    /// Whether the event, or what it is about, was met before.
    pub const fn is_duplicate(self) -> bool {
        matches!(self, Self::Duplicate | Self::Repeated)
    }
}

/// An event, as far as that decides.
#[derive(Debug, Clone, Copy)]
pub struct MetEvent<'e> {
    /// Who produced it.
    pub source: &'e str,
    /// When it happened.
    pub time: Timestamp,
    /// Its sender marked it as history.
    pub is_backfill: bool,
    /// Enrichment knows it.
    pub duplicate: bool,
    /// By its business key.
    pub repeated: bool,
    /// Its name, if it may have been left out before.
    pub again: Option<EventName>,
}

/// Where the event's batch stands.
#[derive(Debug, Clone, Copy)]
pub struct MetBatch {
    /// Its sequence in `RAW`.
    pub raw_seq: u64,
    /// When ingestion took it in: the log's own clock.
    pub ingested_at: Timestamp,
}

/// The event's name, if it may tell once more what was left out before: a duplicate
/// that comes as history or is about the same as another event is counted then.
pub fn perhaps_left_out(event: &EnrichedEventRef<'_>, enrichment: &EnrichmentRef<'_>) -> Option<EventName> {
    let has_business_key = enrichment.about.is_some();
    let may_be_left_out = match enrichment.duplicate {
        // Of one by its business key another one was counted, or was left out.
        true => event.backfill.is_some() || enrichment.repeated && has_business_key,
        // Enrichment may have forgotten what was left out. Once this is counted, it is not
        // left out any more.
        false => has_business_key,
    };
    may_be_left_out.then(|| key_of(event))
}

/// Meets the next event of the log: decides what becomes of it, moves its source's
/// clock and remembers it if it is left out. `now` only dates the source's last
/// word; `name` is asked for where the event is late.
pub fn meet(
    clocks: &mut Clocks,
    left_out: &mut LeftOut,
    event: &MetEvent<'_>,
    place: MetBatch,
    now: Timestamp,
    name: impl FnOnce() -> Option<EventName>,
) -> Outcome {
    let MetBatch { raw_seq, ingested_at } = place;
    let outcome = outcome(clocks, left_out, event, ingested_at);
    // History says nothing of how far its source has come.
    if !outcome.is_duplicate() && !event.is_backfill {
        clocks.advance(event.source, event.time, ingested_at, now);
    }
    match outcome {
        Outcome::Counted => event.again.into_iter().for_each(|key| left_out.counted(key, raw_seq)),
        Outcome::Late => name().into_iter().for_each(|key| left_out.note(key, ingested_at, raw_seq)),
        Outcome::Duplicate | Outcome::Repeated => {}
    }
    outcome
}

fn outcome(clocks: &Clocks, left_out: &LeftOut, event: &MetEvent<'_>, ingested_at: Timestamp) -> Outcome {
    let is_left_out = event.again.is_some_and(|key| left_out.has(&key, ingested_at));
    // History is not late, as long as its time is kept.
    let is_late = || match event.is_backfill {
        true => clocks.is_forgotten(event.time),
        false => clocks.is_late(event.source, event.time),
    };
    // Nothing is late twice.
    let is_known = event.duplicate && (!is_left_out || !event.is_backfill && is_late());
    match is_known {
        true if event.repeated => Outcome::Repeated,
        true => Outcome::Duplicate,
        false if is_late() => Outcome::Late,
        false => Outcome::Counted,
    }
}
