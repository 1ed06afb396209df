//! What became of events, by source and hour.

use tidemill_domain::Timestamp;
use tidemill_events::SourceBooks;
use tidemill_lateness::Outcome;

/// A source and an hour (its start).
pub(crate) type BooksKey = (String, Timestamp);

/// Outcomes of one source in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EventOutcomes {
    pub(crate) counted: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    /// Of the duplicates, those by their business key.
    pub(crate) repeated: u64,
}

impl EventOutcomes {
    /// As readers get them.
    pub(crate) fn of(self, (source, hour): &BooksKey) -> SourceBooks {
        let Self { counted, late, duplicate, repeated } = self;
        SourceBooks { source: source.clone(), hour: *hour, counted, late, duplicate, repeated }
    }

    /// Adds those of other events.
    pub(crate) fn merge(&mut self, Self { counted, late, duplicate, repeated }: Self) {
        self.counted += counted;
        self.late += late;
        self.duplicate += duplicate;
        self.repeated += repeated;
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Counted => self.counted += 1,
            Outcome::Late => self.late += 1,
            Outcome::Duplicate => self.duplicate += 1,
            Outcome::Repeated => {
                self.duplicate += 1;
                self.repeated += 1;
            }
        }
    }
}
