//! What events claim of customers, and what becomes of it.

#[cfg(test)]
mod tests;

use tidemill_domain::Timestamp;

use super::{
    RecordAttributes, RecordChange,
    record::{MAX_VALUE_BYTES, fits, is_id},
};
use crate::shop::CustomerStatement;

/// Changes of one customer that events make at most. Who has more is no customer.
pub(crate) const MOST_CHANGES: usize = 100;

/// What an event claims of a customer, as far as a record can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomerClaim {
    pub(crate) id: String,
    /// When the event happened.
    pub(crate) time: Timestamp,
    /// The country as it is told, until a table of countries has it.
    pub(crate) country: Option<String>,
    pub(crate) attributes: RecordAttributes,
    /// Whether a record cannot hold a part of it.
    pub(crate) is_unread: bool,
}

impl CustomerClaim {
    pub(crate) fn read(statement: CustomerStatement) -> Self {
        let CustomerStatement { id, time, mut country, mut attributes } = statement;
        let is_short = |value: &String| value.len() <= MAX_VALUE_BYTES;
        let told = attributes.len() + usize::from(country.is_some());
        if is_id(&id) {
            attributes.retain(|_, value| is_short(value));
            country = country.filter(is_short);
        } else {
            attributes.clear();
            country = None;
        }
        let is_unread = attributes.len() + usize::from(country.is_some()) < told;
        Self { id, time, country, attributes, is_unread }
    }
}

/// A record that claims make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimedRecord {
    pub(crate) attributes: RecordAttributes,
    /// When the last event happened that changed it.
    pub(crate) claimed_at: Timestamp,
}

/// What the claims about one customer make of what was accepted for it, in the log's
/// order; `None` where they change nothing. A claim that is older than the one behind
/// the record is out of date. What a person has set is not for events to change.
pub(crate) fn claimed(accepted: &[RecordChange], claims: &[CustomerClaim]) -> Option<ClaimedRecord> {
    if accepted.len() >= MOST_CHANGES || accepted.iter().any(|change| change.claimed_at.is_none()) {
        return None;
    }
    let last = last(accepted);
    let mut attributes = last.map(|change| change.attributes.clone()).unwrap_or_default();
    let mut claimed_at = last.and_then(|change| change.claimed_at);
    let mut has_changed = false;
    for claim in claims {
        if claimed_at.is_some_and(|newest| claim.time < newest) {
            continue;
        }
        let mut changed = attributes.clone();
        changed.extend(claim.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
        if changed != attributes && fits(&changed) {
            (attributes, claimed_at, has_changed) = (changed, Some(claim.time), true);
        }
    }
    let claimed_at = claimed_at.filter(|_| has_changed)?;
    Some(ClaimedRecord { attributes, claimed_at })
}

/// From when a claimed record holds. The first one holds for all of the past, as a
/// person's does; another not before the one before it.
pub(crate) fn claimed_from(accepted: &[RecordChange], earliest: Timestamp) -> Option<Timestamp> {
    let last = last(accepted)?;
    Some(last.valid_from.map_or(earliest, |from| from.max(earliest)))
}

fn last(accepted: &[RecordChange]) -> Option<&RecordChange> {
    accepted.iter().max_by_key(|change| (change.valid_from, change.version))
}
