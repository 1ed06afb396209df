//! What is known of one thing, over time.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use serde_json::value::RawValue;
use tidemill_domain::{Currency, Timestamp};
use tidemill_events::ItemFacts;

use super::{
    RecordAttributes, RecordChange,
    product::{ProductFacts, json, written_bytes},
    record::RATE,
};
use crate::{
    geo::{Countries, Country},
    shop::RecordNames,
};

/// All that was ever known of one thing, in the order of validity: of a rate
/// there may be a record for every day of many years.
#[derive(Debug)]
pub(crate) struct History<T>(Box<[Known<T>]>);

#[derive(Debug)]
struct Known<T> {
    version: u64,
    valid_from: Option<Timestamp>,
    is_claimed: bool,
    value: T,
}

impl<T> History<T> {
    pub(super) fn read(changes: Vec<RecordChange>, read: impl Fn(RecordAttributes) -> T) -> Self {
        let known = |c: RecordChange| Known {
            version: c.version,
            valid_from: c.valid_from,
            is_claimed: c.claimed_at.is_some(),
            value: read(c.attributes),
        };
        let mut all: Vec<_> = changes.into_iter().map(known).collect();
        all.sort_by_key(|known| (known.valid_from, known.version));
        Self(all.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds at `time`, of the changes up to `version`. What an event claims holds
    /// where nothing does that a person has set.
    pub(super) fn at(&self, time: Timestamp, version: u64) -> Option<&T> {
        let begun = self.0.partition_point(|known| known.valid_from.is_none_or(|from| from <= time));
        let mut known = self.0[..begun].iter().rev().filter(|known| known.version <= version).peekable();
        let newest = known.peek().copied();
        known.find(|known| !known.is_claimed).or(newest).map(|known| &known.value)
    }
}

/// A customer's profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) country: Option<Country>,
    /// Its attributes as JSON, where it has some. It is written with each event of the
    /// customer, and made once.
    pub(crate) attributes: Option<Box<RawValue>>,
    /// What they take, roughly.
    pub(crate) detail_bytes: usize,
}

pub(super) fn profile(attributes: RecordAttributes, names: &RecordNames, countries: &Countries) -> Profile {
    let country = attributes.get(&names.country).and_then(|country| countries.find(country));
    let detail_bytes = written_bytes(&attributes);
    Profile { country, attributes: (!attributes.is_empty()).then(|| json(&attributes)), detail_bytes }
}

pub(super) fn product(mut attributes: RecordAttributes, names: &RecordNames) -> ProductFacts {
    let category = attributes.remove(&names.category).filter(|category| !category.is_empty());
    ProductFacts::of(category.unwrap_or_else(|| ItemFacts::UNKNOWN_CATEGORY.into()), attributes)
}

/// What regions countries were moved to.
pub(super) type Regions = HashMap<Country, History<Arc<str>>, RandomState>;

/// What is known of each currency's rate.
pub(super) type Rates = HashMap<Currency, Arc<History<Box<str>>>, RandomState>;

pub(super) fn rate(mut attributes: RecordAttributes) -> Box<str> {
    attributes.remove(RATE).unwrap_or_default().into()
}
