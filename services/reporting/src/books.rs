//! The books: every event that was received has one outcome.
//!
//! The log and the dead letters tell what was received. Aggregation tells what
//! became of it. The two sides know nothing of each other, and so they can
//! check each other.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::{SourceName, Timestamp};
use tidemill_events::{DeadLetter, RawBatch};
use utoipa::ToSchema;

#[cfg(test)]
mod tests;

/// Outcomes are kept by the hour: its length in milliseconds.
pub(crate) const HOUR: i64 = 3_600_000;
/// The service that refuses events before they are in the log.
const DOOR: &str = "ingestion";
/// Services whose dead letters are outcomes of events. A dead letter of alert
/// or reporting is the failure of a reader: the event itself is counted.
const OUTCOME_OWNERS: [&str; 3] = [DOOR, "enrichment", "aggregation"];

/// Whether a dead letter of this service is the outcome of an event.
pub(crate) fn is_outcome(service: &str) -> bool {
    OUTCOME_OWNERS.contains(&service)
}

/// Whether a dead letter of this service is the outcome of an event in the log.
pub(crate) fn is_outcome_of_accepted(service: &str) -> bool {
    is_outcome(service) && service != DOOR
}

/// The name under which a source is held.
pub(crate) fn known_source(claimed: String) -> String {
    if claimed.parse::<SourceName>().is_ok() { claimed } else { SourceName::UNKNOWN.into() }
}

/// The hour that a time falls into.
pub(crate) fn hour_of(time: Timestamp) -> Timestamp {
    time.floor_to(HOUR)
}

/// What a message adds to the log's side of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IntakeCounts {
    /// Accepted into the log.
    pub(crate) accepted: u64,
    /// Refused at the door.
    pub(crate) rejected: u64,
    /// Given up, at the door or later.
    pub(crate) dead_lettered: u64,
}

impl std::ops::AddAssign for IntakeCounts {
    fn add_assign(&mut self, other: Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.dead_lettered = self.dead_lettered.saturating_add(other.dead_lettered);
    }
}

/// What one message of a stream adds, by source and hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BookEntry {
    /// The message's sequence in its stream.
    pub(crate) sequence: u64,
    /// What it adds.
    pub(crate) lines: Vec<((String, Timestamp), IntakeCounts)>,
}

impl BookEntry {
    /// Of a batch in the log.
    pub(crate) fn of_batch(sequence: u64, batch: &RawBatch) -> Self {
        let hour = hour_of(batch.ingested_at);
        let line = |(source, count): (&String, &u32)| {
            (
                (known_source(source.clone()), hour),
                IntakeCounts { accepted: (*count).into(), ..IntakeCounts::default() },
            )
        };
        Self { sequence, lines: batch.sources.iter().map(line).collect() }
    }

    /// Of a dead letter, which may stand for several events. One whose event was
    /// sent again and failed once more is another attempt: received, rejected
    /// and dead-lettered anew.
    pub(crate) fn of_letter(sequence: u64, letter: &DeadLetter) -> Self {
        let key = (known_source(letter.source.clone()), hour_of(letter.first_failed_at));
        let count = letter.events.count();
        let rejected = if letter.service == DOOR { count } else { 0 };
        let intake = IntakeCounts { rejected, dead_lettered: count, ..IntakeCounts::default() };
        Self { sequence, lines: if is_outcome(&letter.service) { vec![(key, intake)] } else { Vec::new() } }
    }
}

/// What entries above `floor` add, by source and hour: entries at or below it
/// have been added before.
pub(crate) fn fold<'e>(
    entries: impl IntoIterator<Item = &'e BookEntry>,
    floor: u64,
) -> BTreeMap<(String, Timestamp), IntakeCounts> {
    let mut sums: BTreeMap<(String, Timestamp), IntakeCounts> = BTreeMap::new();
    let mut reached = floor;
    for entry in entries {
        if entry.sequence > reached {
            reached = entry.sequence;
            entry.lines.iter().for_each(|(key, intake)| *sums.entry(key.clone()).or_default() += *intake);
        }
    }
    sums
}

/// One line of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(as = Line)]
pub(crate) struct BookLine {
    /// Came in over HTTP: accepted and rejected.
    pub(crate) received: u64,
    /// Accepted into the log.
    pub(crate) accepted: u64,
    /// Refused at the door.
    pub(crate) rejected: u64,
    /// Counted in the metrics.
    pub(crate) counted: u64,
    /// Past the allowed lateness.
    pub(crate) late: u64,
    /// Seen before.
    pub(crate) duplicate: u64,
    /// Of the duplicates, those by their business key: another id or source has
    /// told of the same order before.
    pub(crate) repeated: u64,
    /// Given up with a reason, at the door or later.
    pub(crate) dead_lettered: u64,
    /// Without an outcome so far. Below zero for a moment, where an outcome
    /// was read before the intake.
    pub(crate) in_flight: i64,
}

impl BookLine {
    /// From the log's side.
    pub(crate) fn intake(intake: IntakeCounts) -> Self {
        let IntakeCounts { accepted, rejected, dead_lettered } = intake;
        Self { accepted, rejected, dead_lettered, ..Self::default() }.closed()
    }

    /// From aggregation's side.
    pub(crate) fn outcomes(counted: u64, late: u64, duplicate: u64, repeated: u64) -> Self {
        Self { counted, late, duplicate, repeated, ..Self::default() }.closed()
    }

    fn closed(self) -> Self {
        let sum = |figures: &[u64]| figures.iter().fold(0_u64, |sum, figure| sum.saturating_add(*figure));
        let received = sum(&[self.accepted, self.rejected]);
        let settled = sum(&[self.counted, self.late, self.duplicate, self.dead_lettered]);
        Self { received, in_flight: received.cast_signed().wrapping_sub(settled.cast_signed()), ..self }
    }

    fn is_balanced(&self) -> bool {
        self.in_flight == 0
    }
}

impl std::ops::AddAssign for BookLine {
    fn add_assign(&mut self, other: Self) {
        let sum = Self {
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            counted: self.counted + other.counted,
            late: self.late + other.late,
            duplicate: self.duplicate + other.duplicate,
            repeated: self.repeated + other.repeated,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            ..Self::default()
        };
        *self = sum.closed();
    }
}

/// The books as they are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Books)]
pub(crate) struct BooksAnswer {
    /// When they were read.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) as_of: Timestamp,
    /// Whether every source's events all have their outcome.
    pub(crate) balanced: bool,
    /// All sources together.
    pub(crate) totals: BookLine,
    /// By source, the largest first.
    pub(crate) sources: Vec<BookedSource>,
    /// Sources beyond those listed; `totals` and `balanced` count them.
    pub(crate) more_sources: usize,
}

/// The books of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SourceBooks)]
pub(crate) struct BookedSource {
    /// CloudEvents `source`.
    pub(crate) source: String,
    /// Its sums.
    #[serde(flatten)]
    pub(crate) sums: BookLine,
    /// Whether all its events have their outcome.
    pub(crate) balanced: bool,
    /// By hour of ingestion, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hours: Option<Vec<HourBooks>>,
}

/// The books of one source in one hour of ingestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct HourBooks {
    /// The hour's first instant.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) hour: Timestamp,
    /// Its sums.
    #[serde(flatten)]
    pub(crate) sums: BookLine,
}

impl BooksAnswer {
    /// From either side's lines by source. At most `limit` sources are listed.
    pub(crate) fn new(as_of: Timestamp, lines: impl IntoIterator<Item = (String, BookLine)>, limit: usize) -> Self {
        let mut by_source: BTreeMap<String, BookLine> = BTreeMap::new();
        lines.into_iter().for_each(|(source, line)| *by_source.entry(source).or_default() += line);
        let mut totals = BookLine::default();
        by_source.values().for_each(|line| totals += *line);
        let balanced = by_source.values().all(BookLine::is_balanced);
        let mut sources: Vec<BookedSource> = by_source
            .into_iter()
            .map(|(source, sums)| BookedSource { source, sums, balanced: sums.is_balanced(), hours: None })
            .collect();
        // A stable sort: sources of one size stay in the order of their names.
        sources.sort_by_key(|line| std::cmp::Reverse(line.sums.received));
        let more_sources = sources.len().saturating_sub(limit);
        sources.truncate(limit);
        Self { as_of, balanced, totals, sources, more_sources }
    }

    /// With the hours of the listed sources, earliest first.
    #[must_use]
    pub(crate) fn with_hours(mut self, lines: impl IntoIterator<Item = ((String, Timestamp), BookLine)>) -> Self {
        let mut by_source: BTreeMap<String, BTreeMap<Timestamp, BookLine>> = BTreeMap::new();
        for ((source, hour), line) in lines {
            *by_source.entry(source).or_default().entry(hour).or_default() += line;
        }
        for line in &mut self.sources {
            let hours = by_source.remove(&line.source).unwrap_or_default();
            line.hours = Some(hours.into_iter().map(|(hour, sums)| HourBooks { hour, sums }).collect());
        }
        self
    }
}
