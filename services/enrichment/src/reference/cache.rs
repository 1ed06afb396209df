//! The reference data of one process: what was looked up is kept until it changes.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidemill_domain::Timestamp;
use tidemill_service::{Exchanged, FieldError};
use tidemill_store::answered;
use tokio::{sync::Mutex, time::Instant};

use super::{
    CustomerClaim, ProductFacts, Record, RecordAttributes, RecordChange, RecordKind, RecordVerdict, ReferenceFile,
    Snapshot,
    history::{self, History, Profile, Rates, Regions},
    record::pointer,
    table::{FoundHistories, Ids, Table},
};
use crate::{
    config::ReferenceConfig,
    error::Error,
    geo::{Countries, Country},
    shop::RecordNames,
    store::{LoadedFile, Store},
    telemetry::Telemetry,
};

/// Above so many changes at once the caches are emptied rather than combed.
const CHANGES_AT_ONCE: usize = 10_000;

/// What is to be told of files that were loaded.
#[derive(Debug, Default)]
pub(crate) struct FileNotices {
    /// Why files are refused.
    pub(crate) refused: Vec<String>,
    /// Which files lack records that they had.
    pub(crate) kept: Vec<String>,
}

/// The reference data of one process.
pub(crate) struct Reference {
    store: Arc<Store>,
    countries: Countries,
    /// Of earlier times than this, what holds then is told.
    not_before: Option<Timestamp>,
    names: RecordNames,
    products: Table<ProductFacts>,
    customers: Table<Profile>,
    /// All changes of regions: they are few.
    regions: Exchanged<Regions>,
    /// All rates, with their history.
    rates: Exchanged<Rates>,
    version: AtomicU64,
    /// Shared by those who fill the caches, and held alone by a refresh: what was
    /// read before a change is never put in after it.
    gate: tokio::sync::RwLock<()>,
    refreshing: Mutex<()>,
    telemetry: Arc<Telemetry>,
}

impl Reference {
    pub(crate) fn new(
        store: Arc<Store>,
        countries: Countries,
        names: RecordNames,
        config: &ReferenceConfig,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            store,
            countries,
            not_before: None,
            names,
            products: Table::new(RecordKind::Product, config.cached_entries),
            customers: Table::new(RecordKind::Customer, config.cached_entries),
            regions: Exchanged::default(),
            rates: Exchanged::default(),
            version: AtomicU64::new(0),
            gate: tokio::sync::RwLock::default(),
            refreshing: Mutex::default(),
            telemetry,
        }
    }

    /// The same, which tells of earlier times than this what holds then.
    pub(crate) fn with_not_before(self, not_before: Option<Timestamp>) -> Self {
        Self { not_before, ..self }
    }

    /// What of a record is not understood: its country, where no table has it.
    pub(crate) fn hint(&self, record: &Record) -> Option<FieldError> {
        let (name, country) = match record.kind {
            RecordKind::Product | RecordKind::Rate => return None,
            RecordKind::Customer => (self.names.country.as_str(), record.attributes.get(&self.names.country)?),
            RecordKind::Country => ("id", &record.id),
        };
        if country.is_empty() || self.countries.find(country).is_some() {
            return None;
        }
        let detail = "is a country that is not known: it is in no table of countries, and so tells nothing of events";
        Some(FieldError { pointer: pointer(name), detail: detail.into() })
    }

    /// A claim with its country as the tables have it; `None` where nothing is left of
    /// it. A country that is in no table tells nothing, and takes no other's place.
    pub(crate) fn understood(&self, mut claim: CustomerClaim) -> Option<CustomerClaim> {
        let country = claim.country.take().and_then(|country| self.countries.find(&country));
        let country = country.map(|country| (self.names.country.clone(), country.as_str().to_owned()));
        claim.attributes.extend(country);
        (!claim.attributes.is_empty()).then_some(claim)
    }

    /// Learns of the changes since the last call.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let _alone = self.refreshing.lock().await;
        let known = self.version.load(Ordering::Acquire);
        let newest = answered(self.store.version()).await?;
        if newest == known {
            return Ok(());
        }
        let changed = answered(self.store.changed_ids(known, CHANGES_AT_ONCE + 1)).await?;
        let all = changed.len() > CHANGES_AT_ONCE;
        if all || changed.iter().any(|(kind, _)| *kind == RecordKind::Country) {
            let regions = self.read_regions().await?;
            self.regions.exchange(regions);
        }
        self.read_rates(&changed, all).await?;
        let _gate = self.gate.write().await;
        if all {
            self.products.all_changed();
            self.customers.all_changed();
        } else {
            for (kind, id) in &changed {
                match kind {
                    RecordKind::Product => self.products.changed(id),
                    RecordKind::Customer => self.customers.changed(id),
                    RecordKind::Country | RecordKind::Rate => {}
                }
            }
        }
        self.version.store(newest, Ordering::Release);
        self.telemetry.reference_version(newest);
        Ok(())
    }

    async fn read_regions(&self) -> Result<Regions, Error> {
        let region = |mut attributes: RecordAttributes| attributes.remove("region").unwrap_or_default().into();
        let all = answered(self.store.histories_of(RecordKind::Country)).await?;
        Ok(all.into_iter().filter_map(|(id, c)| Some((Country::from_code(&id)?, History::read(c, region)))).collect())
    }

    /// Reads the rates that changed.
    async fn read_rates(&self, changed: &[(RecordKind, String)], all: bool) -> Result<(), Error> {
        let ids: HashSet<&str> =
            changed.iter().filter(|(kind, _)| *kind == RecordKind::Rate).map(|(_, id)| id.as_str()).collect();
        if ids.is_empty() && !all {
            return Ok(());
        }
        let ids: Vec<&str> = ids.into_iter().collect();
        let stored = match all {
            true => answered(self.store.histories_of(RecordKind::Rate)).await?,
            false => answered(self.store.histories(RecordKind::Rate, &ids)).await?,
        };
        let base = self.store.base();
        let of_base = |changes: Vec<RecordChange>| changes.into_iter().filter(|change| change.holds_in(base)).collect();
        let history = |changes| Arc::new(History::read(of_base(changes), history::rate));
        let read = stored.into_iter().filter_map(|(id, changes)| Some((id.parse().ok()?, history(changes))));
        // Who has a snapshot keeps what it has.
        self.rates.change(|rates| rates.extend(read));
        Ok(())
    }

    /// Loads files whose content is new, each as a whole or not at all. One that
    /// would change what was is refused, and what was known before stays. So does what
    /// is not in a file any more.
    pub(crate) async fn load(&self, files: &[ReferenceFile], earliest: Timestamp) -> Result<FileNotices, Error> {
        let mut notices = FileNotices::default();
        for file in files {
            let LoadedFile { verdicts, kept } = match self.store.load(file, earliest).await {
                Ok(Some(loaded)) => loaded,
                Ok(None) => continue,
                Err(Error::Definition(reason)) => {
                    notices.refused.push(reason.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let changed = verdicts.iter().filter(|v| matches!(v, RecordVerdict::Changed(..))).count();
            tracing::info!(file = file.path, records = verdicts.len(), changed, kept, "reference file loaded");
            match kept {
                0 => {}
                1 => notices.kept.push(format!("{}: 1 record is not in it any more, and stays known", file.path)),
                _ => notices.kept.push(format!("{}: {kept} records are not in it any more, and stay known", file.path)),
            }
        }
        self.refresh().await?;
        Ok(notices)
    }

    /// What is known of these products and customers, and of all countries and rates.
    pub(crate) async fn snapshot<'a>(&'a self, products: Ids<'a>, customers: Ids<'a>) -> Result<Snapshot<'a>, Error> {
        // The version first: whatever it counts is then found below.
        let version = self.version.load(Ordering::Acquire);
        let product = |attributes| history::product(attributes, &self.names);
        let profile = |attributes| history::profile(attributes, &self.names, &self.countries);
        Ok(Snapshot {
            version,
            not_before: self.not_before,
            products: self.find(&self.products, products, product).await?,
            customers: self.find(&self.customers, customers, profile).await?,
            regions: self.regions.current(),
            rates: self.rates.current(),
            countries: &self.countries,
        })
    }

    async fn find<'a, T: Send + Sync + 'static>(
        &self,
        table: &Table<T>,
        ids: Ids<'a>,
        read: impl Fn(RecordAttributes) -> T,
    ) -> Result<FoundHistories<'a, T>, Error> {
        let mut found = FoundHistories::default();
        if !table.populated.load(Ordering::Acquire) {
            return Ok(found);
        }
        found.reserve(ids.len());
        let missing = table.find(ids, Instant::now(), &mut found);
        if missing.is_empty() {
            return Ok(found);
        }
        self.telemetry.reference_misses(table.kind, missing.len());
        let _gate = self.gate.read().await;
        let mut stored = answered(self.store.histories(table.kind, &missing)).await?;
        let history = |id: &'a str| (id, Arc::new(History::read(stored.remove(id).unwrap_or_default(), &read)));
        let histories: Vec<_> = missing.into_iter().map(history).collect();
        table.insert(&histories, Instant::now());
        found.extend(histories);
        Ok(found)
    }
}
