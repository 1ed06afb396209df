//! The books: every event that was received has one outcome.
//!
//! What was received is counted where the log and the dead letters are
//! written, what became of it where it is counted: two sides that know nothing
//! of each other, and so can check each other.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::{SourceName, Timestamp};
use tidemill_events::{DeadLetter, RawBatch};
use utoipa::ToSchema;

const HOUR: i64 = 3_600_000;
/// Who refuses events before the log.
const DOOR: &str = "ingestion";
/// Whose dead letters are outcomes of events. A dead letter of alert or
/// reporting is one more reader's failure: the event itself is counted.
const OUTCOME_OWNERS: [&str; 3] = [DOOR, "enrichment", "aggregation"];

/// Whether a dead letter of this service is the outcome of an event.
pub(crate) fn is_outcome(service: &str) -> bool {
    OUTCOME_OWNERS.contains(&service)
}

/// Whether a dead letter of this service is the outcome of an event that the
/// log has.
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
pub struct Intake {
    /// Accepted into the log.
    pub accepted: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// Given up, at the door or later.
    pub dead_lettered: u64,
}

impl std::ops::AddAssign for Intake {
    fn add_assign(&mut self, other: Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.dead_lettered = self.dead_lettered.saturating_add(other.dead_lettered);
    }
}

/// What one message of a stream adds, by source and hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message's sequence in its stream.
    pub sequence: u64,
    /// What it adds.
    pub lines: Vec<((String, Timestamp), Intake)>,
}

impl Entry {
    /// Of a batch in the log.
    pub fn of_batch(sequence: u64, batch: &RawBatch) -> Self {
        let hour = hour_of(batch.ingested_at);
        let line = |(source, count): (&String, &u32)| {
            ((known_source(source.clone()), hour), Intake { accepted: (*count).into(), ..Intake::default() })
        };
        Self { sequence, lines: batch.sources.iter().map(line).collect() }
    }

    /// Of a dead letter, which may stand for several events. One whose event was
    /// sent again and failed once more is another attempt: received, rejected
    /// and dead-lettered anew.
    pub fn of_letter(sequence: u64, letter: &DeadLetter) -> Self {
        let key = (known_source(letter.source.clone()), hour_of(letter.first_failed_at));
        let count = letter.events.count();
        let rejected = if letter.service == DOOR { count } else { 0 };
        let intake = Intake { rejected, dead_lettered: count, ..Intake::default() };
        Self { sequence, lines: if is_outcome(&letter.service) { vec![(key, intake)] } else { Vec::new() } }
    }
}

/// What entries above `floor` add, by source and hour: entries at or below it
/// have been added before.
pub fn fold<'e>(entries: impl IntoIterator<Item = &'e Entry>, floor: u64) -> BTreeMap<(String, Timestamp), Intake> {
    let mut sums: BTreeMap<(String, Timestamp), Intake> = BTreeMap::new();
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
pub struct Line {
    /// Came in over HTTP: accepted and rejected.
    pub received: u64,
    /// Accepted into the log.
    pub accepted: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// Counted in the metrics.
    pub counted: u64,
    /// Past the allowed lateness.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Given up with a reason, at the door or later.
    pub dead_lettered: u64,
    /// Without an outcome so far. Below zero for a moment, where an outcome
    /// was read before the intake.
    pub in_flight: i64,
}

impl Line {
    /// From the log's side.
    pub fn intake(intake: Intake) -> Self {
        let Intake { accepted, rejected, dead_lettered } = intake;
        Self { accepted, rejected, dead_lettered, ..Self::default() }.closed()
    }

    /// From aggregation's side.
    pub fn outcomes(counted: u64, late: u64, duplicate: u64) -> Self {
        Self { counted, late, duplicate, ..Self::default() }.closed()
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

impl std::ops::AddAssign for Line {
    fn add_assign(&mut self, other: Self) {
        let sum = Self {
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            counted: self.counted + other.counted,
            late: self.late + other.late,
            duplicate: self.duplicate + other.duplicate,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            ..Self::default()
        };
        *self = sum.closed();
    }
}

/// The books as they are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Books {
    /// When they were read.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Whether every source's events all have their outcome.
    pub balanced: bool,
    /// All sources together.
    pub totals: Line,
    /// By source, the largest first.
    pub sources: Vec<SourceBooks>,
    /// Sources beyond those listed; `totals` and `balanced` count them.
    pub more_sources: usize,
}

/// The books of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceBooks {
    /// CloudEvents `source`.
    pub source: String,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Line,
    /// Whether all its events have their outcome.
    pub balanced: bool,
    /// By hour of ingestion, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Vec<HourBooks>>,
}

/// The books of one source in one hour of ingestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HourBooks {
    /// The hour's first instant.
    #[schema(value_type = String, format = DateTime)]
    pub hour: Timestamp,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Line,
}

impl Books {
    /// From either side's lines by source. At most `limit` sources are listed.
    pub fn new(as_of: Timestamp, lines: impl IntoIterator<Item = (String, Line)>, limit: usize) -> Self {
        let mut by_source: BTreeMap<String, Line> = BTreeMap::new();
        lines.into_iter().for_each(|(source, line)| *by_source.entry(source).or_default() += line);
        let mut totals = Line::default();
        by_source.values().for_each(|line| totals += *line);
        let balanced = by_source.values().all(Line::is_balanced);
        let mut sources: Vec<SourceBooks> = by_source
            .into_iter()
            .map(|(source, sums)| SourceBooks { source, sums, balanced: sums.is_balanced(), hours: None })
            .collect();
        // A stable sort: sources of one size stay in the order of their names.
        sources.sort_by_key(|line| std::cmp::Reverse(line.sums.received));
        let more_sources = sources.len().saturating_sub(limit);
        sources.truncate(limit);
        Self { as_of, balanced, totals, sources, more_sources }
    }

    /// With the hours of the listed sources, earliest first.
    #[must_use]
    pub fn with_hours(mut self, lines: impl IntoIterator<Item = ((String, Timestamp), Line)>) -> Self {
        let mut by_source: BTreeMap<String, BTreeMap<Timestamp, Line>> = BTreeMap::new();
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use tidemill_events::Events;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        (1u64..30).prop_map(|sequence| Entry {
            sequence,
            lines: vec![(
                (
                    format!("shop-{}", sequence % 3),
                    hour_of(Timestamp::saturating_from_millis(sequence.cast_signed() * HOUR / 4)),
                ),
                Intake { accepted: sequence, rejected: sequence % 2, dead_lettered: sequence % 2 },
            )],
        })
    }

    type Sums = BTreeMap<(String, Timestamp), Intake>;

    /// As a consumer folds: chunk by chunk, each above what is folded.
    fn consumed<'a>(chunks: impl IntoIterator<Item = &'a [Entry]>) -> Sums {
        let (mut floor, mut sums) = (0, Sums::new());
        for chunk in chunks {
            fold(chunk, floor).into_iter().for_each(|(key, intake)| *sums.entry(key).or_default() += intake);
            floor = chunk.iter().map(|entry| entry.sequence).max().unwrap_or(floor).max(floor);
        }
        sums
    }

    proptest! {
        #[test]
        fn deliveries_that_come_again_change_nothing(
            mut log in vec(entry(), 1..20), size in 1usize..7, cut in 0usize..20, again in 1usize..7,
        ) {
            log.sort_by_key(|entry| entry.sequence);
            log.dedup_by_key(|entry| entry.sequence);
            let straight = consumed([&log[..]]);
            // A crash after `cut` messages, some of them unacknowledged.
            let cut = cut.min(log.len());
            let seen = log[..cut].chunks(size);
            let redelivered = log[cut.saturating_sub(again)..].chunks(size);
            prop_assert_eq!(consumed(seen.chain(redelivered)), straight);
        }
    }

    fn letter(service: &str, source: &str) -> DeadLetter {
        DeadLetter { source: source.into(), ..crate::testing::dead_letter(service, None) }
    }

    #[test]
    fn a_dead_letter_is_an_outcome_where_the_event_ends() {
        let of = |service| Entry::of_letter(1, &letter(service, "shop")).lines;
        let key = ("shop".to_owned(), Timestamp::saturating_from_millis(HOUR));
        let later = Intake { dead_lettered: 1, ..Intake::default() };
        assert_eq!(of("ingestion"), [(key.clone(), Intake { rejected: 1, ..later })]);
        assert_eq!(of("enrichment"), [(key, later)]);
        assert_eq!(of("alert"), []);
        for events in [Events::Several(7), Events::Counted(7)] {
            let lines = Entry::of_letter(1, &DeadLetter { events, ..letter("ingestion", "shop") }).lines;
            assert_eq!(lines[0].1, Intake { rejected: 7, dead_lettered: 7, ..Intake::default() });
        }
        assert_eq!(Entry::of_letter(1, &letter("ingestion", "a\nb")).lines[0].0.0, SourceName::UNKNOWN);
    }

    #[test]
    fn sources_that_cancel_out_are_not_balanced() {
        let lines = || {
            [
                ("a".to_owned(), Line::intake(Intake { accepted: 3, ..Intake::default() })),
                ("a".to_owned(), Line::outcomes(1, 1, 0)),
                ("b".to_owned(), Line::outcomes(1, 0, 0)),
            ]
        };
        let books = Books::new(Timestamp::EPOCH, lines(), 1);
        assert_eq!((books.totals.received, books.totals.in_flight, books.balanced), (3, 0, false));
        assert_eq!((books.sources.len(), books.more_sources, books.sources[0].sums.in_flight), (1, 1, 1));
        let mended = lines().into_iter().chain([
            ("a".to_owned(), Line::outcomes(0, 0, 1)),
            ("b".to_owned(), Line::intake(Intake { accepted: 1, ..Intake::default() })),
        ]);
        assert!(Books::new(Timestamp::EPOCH, mended, 9).balanced);
    }
}
