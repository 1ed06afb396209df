//! Reference data of one version.

use std::{collections::HashMap, sync::Arc};

use tidemill_domain::{Currency, Timestamp};
use tidemill_events::ItemFacts;

use super::history::{History, Profile, Rates};
use crate::geo::{Countries, Country};

/// Reference data of one version, for the events of one batch.
pub(crate) struct Snapshot<'a> {
    pub(super) version: u64,
    pub(super) products: HashMap<&'a str, Arc<History<ItemFacts>>>,
    pub(super) customers: HashMap<&'a str, Arc<History<Profile>>>,
    pub(super) regions: Arc<HashMap<Country, History<Arc<str>>>>,
    pub(super) rates: Arc<Rates>,
    pub(super) countries: &'a Countries,
}

impl Snapshot<'_> {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn product(&self, id: &str, time: Timestamp) -> Option<&ItemFacts> {
        self.products.get(id)?.at(time, self.version)
    }

    pub(crate) fn customer(&self, id: &str, time: Timestamp) -> Option<&Profile> {
        self.customers.get(id)?.at(time, self.version)
    }

    /// What one of the currency is in the base currency.
    pub(crate) fn rate(&self, currency: Currency, time: Timestamp) -> Option<&str> {
        self.rates.get(&currency)?.at(time, self.version).map(|rate| &**rate)
    }

    pub(crate) fn country(&self, text: &str) -> Option<Country> {
        self.countries.find(text)
    }

    pub(crate) fn region(&self, country: Country, time: Timestamp) -> Option<&str> {
        let moved = self.regions.get(&country).and_then(|history| history.at(time, self.version));
        moved.map(|region| &**region).or_else(|| self.countries.region(country))
    }
}
