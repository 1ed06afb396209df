//! What is known of one thing, over time.

#[cfg(test)]
mod tests;

use tidemill_domain::Timestamp;
use tidemill_events::ItemFacts;

use super::{RecordAttributes, RecordChange, change::in_force};
use crate::{
    geo::{Countries, Country},
    shop::RecordNames,
};

/// What a product counts under of which no category is known.
const UNKNOWN_CATEGORY: &str = "Unknown";

/// All that was ever known of one thing.
#[derive(Debug)]
pub(crate) struct History<T>(Box<[Known<T>]>);

#[derive(Debug)]
struct Known<T> {
    version: u64,
    valid_from: Option<Timestamp>,
    value: T,
}

impl<T> History<T> {
    pub(super) fn read(changes: Vec<RecordChange>, read: impl Fn(RecordAttributes) -> T) -> Self {
        let known = |c: RecordChange| Known { version: c.version, valid_from: c.valid_from, value: read(c.attributes) };
        Self(changes.into_iter().map(known).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds at `time`, of the changes up to `version`.
    pub(super) fn at(&self, time: Timestamp, version: u64) -> Option<&T> {
        in_force(&self.0, |known| (known.valid_from, known.version), time, version).map(|known| &known.value)
    }
}

/// A customer's profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) country: Option<Country>,
    pub(crate) attributes: RecordAttributes,
}

pub(super) fn profile(attributes: RecordAttributes, names: &RecordNames, countries: &Countries) -> Profile {
    let country = attributes.get(&names.country).and_then(|country| countries.find(country));
    Profile { country, attributes }
}

pub(super) fn product(mut attributes: RecordAttributes, names: &RecordNames) -> ItemFacts {
    let category = attributes.remove(&names.category).filter(|category| !category.is_empty());
    ItemFacts { category: category.unwrap_or_else(|| UNKNOWN_CATEGORY.into()), product: attributes }
}
