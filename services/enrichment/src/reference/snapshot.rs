//! Reference data of one version.

use std::sync::Arc;

use tidemill_domain::{Currency, Timestamp};

use super::{
    ProductFacts,
    history::{Profile, Rates, Regions},
    table::FoundHistories,
};
use crate::geo::{Countries, Country};

/// Reference data of one version, for the events of one batch.
pub(crate) struct Snapshot<'a> {
    pub(super) version: u64,
    /// Of earlier times than this, what holds then is told; but for rates, which are
    /// prices of their day.
    pub(super) not_before: Option<Timestamp>,
    pub(super) products: FoundHistories<'a, ProductFacts>,
    pub(super) customers: FoundHistories<'a, Profile>,
    pub(super) regions: Arc<Regions>,
    pub(super) rates: Arc<Rates>,
    pub(super) countries: &'a Countries,
}

impl Snapshot<'_> {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn product(&self, id: &str, time: Timestamp) -> Option<&ProductFacts> {
        self.products.get(id)?.at(self.told_of(time), self.version)
    }

    pub(crate) fn customer(&self, id: &str, time: Timestamp) -> Option<&Profile> {
        self.customers.get(id)?.at(self.told_of(time), self.version)
    }

    fn told_of(&self, time: Timestamp) -> Timestamp {
        self.not_before.map_or(time, |not_before| time.max(not_before))
    }

    /// What one of the currency is in the base currency.
    pub(crate) fn rate(&self, currency: Currency, time: Timestamp) -> Option<&str> {
        self.rates.get(&currency)?.at(time, self.version).map(|rate| &**rate)
    }

    pub(crate) fn country(&self, text: &str) -> Option<Country> {
        self.countries.find(text)
    }

    pub(crate) fn region(&self, country: Country, time: Timestamp) -> Option<&str> {
        let moved = self.regions.get(&country).and_then(|history| history.at(self.told_of(time), self.version));
        moved.map(|region| &**region).or_else(|| self.countries.region(country))
    }
}
