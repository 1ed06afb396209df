//! Changes, and which of them hold.

#[cfg(test)]
mod tests;

use tidemill_domain::{Currency, Timestamp};

use super::{Record, RecordAttributes, RecordKind};

/// An accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordChange {
    pub(crate) version: u64,
    /// `None` for the beginning of time.
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) attributes: RecordAttributes,
    /// When the event happened that claims it; `None` for what a person has set.
    pub(crate) claimed_at: Option<Timestamp>,
    /// Of a rate: the base currency that it leads to.
    pub(crate) base: Option<Currency>,
}

impl RecordChange {
    /// Whether it holds in a shop of this base currency. A rate of another one says
    /// nothing there.
    pub(crate) fn holds_in(&self, base: Currency) -> bool {
        self.base.is_none_or(|of| of == base)
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordVerdict {
    /// It says what is known already, since this version.
    Unchanged(u64),
    /// It is a change.
    Changed(u64, Option<Timestamp>),
    /// A replica could learn of it too late. Of a rate, when its last one begins: the
    /// next may begin behind that.
    TooEarly(Option<Timestamp>),
}

/// Decides on a record that a person sets, given what was accepted of persons for its
/// id. One for an id that is new is valid for all of the past unless it says
/// otherwise, so that events of long ago find it; another not before `earliest`,
/// unless it is the next of a table of rates.
pub(crate) fn decide(
    accepted: &[RecordChange],
    is_new: bool,
    record: &Record,
    earliest: Timestamp,
    next_version: u64,
) -> RecordVerdict {
    if accepted.is_empty() {
        return RecordVerdict::Changed(next_version, record.valid_from);
    }
    let from = record.valid_from.unwrap_or(earliest);
    match in_force(accepted, from) {
        Some(current) if current.attributes == record.attributes => RecordVerdict::Unchanged(current.version),
        _ if from < earliest && !is_new && !is_next_rate(accepted, record) => {
            let is_rate = record.kind == RecordKind::Rate;
            RecordVerdict::TooEarly(newest(accepted).filter(|newest| is_rate && *newest < earliest))
        }
        _ => RecordVerdict::Changed(next_version, Some(from)),
    }
}

/// Whether it goes on with a currency's table of rates: a day's rate is often
/// known only when the day has begun. What was enriched before keeps the rate
/// that it got.
fn is_next_rate(accepted: &[RecordChange], record: &Record) -> bool {
    record.kind == RecordKind::Rate && record.valid_from > newest(accepted)
}

fn newest(accepted: &[RecordChange]) -> Option<Timestamp> {
    accepted.iter().filter_map(|change| change.valid_from).max()
}

/// The change that holds at `time`: the one valid from the latest time, and of
/// several from one time the last.
fn in_force(changes: &[RecordChange], time: Timestamp) -> Option<&RecordChange> {
    let begun = changes.iter().filter(|change| change.valid_from.is_none_or(|from| from <= time));
    begun.max_by_key(|change| (change.valid_from, change.version))
}
