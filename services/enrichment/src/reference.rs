//! Reference data: versioned, joined as of an event's time, and cached.
//!
//! A change gets the next version, and is valid from a time on that lies a few
//! seconds ahead, so that every replica knows it when the time comes. A
//! [`Snapshot`] is of one version: what it answers is a function of that
//! version and the event alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use tidemill_domain::Timestamp;
use tidemill_events::ItemFacts;
use tidemill_store::answered;
use tokio::sync::Mutex;

use crate::{
    config::ReferenceConfig,
    country::{Countries, Country},
    error::Error,
    records::{self, Record},
    store::Store,
    telemetry::Metrics,
};

/// What is known of one thing, by name.
pub(crate) type Attributes = BTreeMap<String, String>;

/// Above so many changes at once the caches are emptied rather than combed.
const CHANGES_AT_ONCE: usize = 10_000;
/// Even what nobody changed is read again after this long.
const KEPT: Duration = Duration::from_secs(600);
/// And what was not there, after this: a miss must not crowd out a find.
const MISS_KEPT: Duration = Duration::from_secs(30);

/// What reference data is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Product,
    Customer,
    Country,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Product, Self::Customer, Self::Country];

    /// As in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Customer => "customer",
            Self::Country => "country",
        }
    }

    /// As in addresses and files.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Product => "products",
            Self::Customer => "customers",
            Self::Country => "countries",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) version: u64,
    /// `None` for the beginning of time.
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) attributes: Attributes,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It says what is known already, since this version.
    Unchanged(u64),
    /// It is a change.
    Changed(u64, Option<Timestamp>),
    /// A replica could learn of it too late.
    TooEarly,
}

/// Decides on a record, given what was accepted for its id. One for an id that
/// is new is valid for all of the past unless it says otherwise, so that events
/// of long ago find it; another not before `earliest`.
pub(crate) fn decide(
    accepted: &[Change],
    is_new: bool,
    record: &Record,
    earliest: Timestamp,
    next_version: u64,
) -> Verdict {
    if accepted.is_empty() {
        return Verdict::Changed(next_version, record.valid_from);
    }
    let from = record.valid_from.unwrap_or(earliest);
    match in_force(accepted, |change| (change.valid_from, change.version), from, u64::MAX) {
        Some(current) if current.attributes == record.attributes => Verdict::Unchanged(current.version),
        _ if from < earliest && !is_new => Verdict::TooEarly,
        _ => Verdict::Changed(next_version, Some(from)),
    }
}

/// The change that holds at `time`, of those up to `version`: the one valid
/// from the latest time, and of several from one time the last.
fn in_force<T>(
    changes: &[T],
    order: impl Fn(&T) -> (Option<Timestamp>, u64),
    time: Timestamp,
    version: u64,
) -> Option<&T> {
    changes
        .iter()
        .filter(|change| {
            let (valid_from, number) = order(change);
            valid_from.is_none_or(|from| from <= time) && number <= version
        })
        .max_by_key(|change| order(change))
}

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
    fn read(changes: Vec<Change>, read: impl Fn(Attributes) -> T) -> Self {
        let known = |c: Change| Known { version: c.version, valid_from: c.valid_from, value: read(c.attributes) };
        Self(changes.into_iter().map(known).collect())
    }

    fn at(&self, time: Timestamp, version: u64) -> Option<&T> {
        in_force(&self.0, |known| (known.valid_from, known.version), time, version).map(|known| &known.value)
    }
}

/// A customer's profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) country: Option<Country>,
    pub(crate) attributes: Attributes,
}

fn product(mut attributes: Attributes) -> ItemFacts {
    let category = attributes.remove("category").filter(|c| !c.is_empty());
    ItemFacts { category: category.unwrap_or_else(|| "Unknown".into()), product: attributes }
}

/// The things of one kind, as far as they are in memory. One that is not known
/// is there too, without a history.
struct Table<T> {
    kind: Kind,
    cache: Cache<Box<str>, Arc<History<T>>>,
    /// Whether the store has anything of the kind.
    populated: AtomicBool,
}

struct Expiry;

impl<T> moka::Expiry<Box<str>, Arc<History<T>>> for Expiry {
    fn expire_after_create(&self, _: &Box<str>, value: &Arc<History<T>>, _: std::time::Instant) -> Option<Duration> {
        Some(if value.0.is_empty() { MISS_KEPT } else { KEPT })
    }
}

impl<T: Send + Sync + 'static> Table<T> {
    fn new(kind: Kind, entries: u64) -> Self {
        let cache = Cache::builder().max_capacity(entries).expire_after(Expiry).build();
        Self { kind, cache, populated: AtomicBool::new(false) }
    }

    fn changed(&self, id: &str) {
        self.populated.store(true, Ordering::Release);
        self.cache.invalidate(id);
    }

    fn all_changed(&self) {
        self.populated.store(true, Ordering::Release);
        self.cache.invalidate_all();
    }
}

/// The reference data of one process.
pub(crate) struct Reference {
    store: Arc<Store>,
    countries: Countries,
    products: Table<ItemFacts>,
    customers: Table<Profile>,
    /// All changes of regions: they are few.
    regions: RwLock<Arc<HashMap<Country, History<Arc<str>>>>>,
    version: AtomicU64,
    /// Held by those who fill the caches, and alone by the one who combs them:
    /// what was read before a change is never put in after it.
    gate: tokio::sync::RwLock<()>,
    refreshing: Mutex<()>,
    metrics: Arc<Metrics>,
}

impl Reference {
    pub(crate) fn new(
        store: Arc<Store>,
        countries: Countries,
        config: &ReferenceConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            countries,
            products: Table::new(Kind::Product, config.cached_entries),
            customers: Table::new(Kind::Customer, config.cached_entries),
            regions: RwLock::default(),
            version: AtomicU64::new(0),
            gate: tokio::sync::RwLock::default(),
            refreshing: Mutex::default(),
            metrics,
        }
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
        if all || changed.iter().any(|(kind, _)| *kind == Kind::Country) {
            let regions = self.read_regions().await?;
            *self.regions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(regions);
        }
        let _gate = self.gate.write().await;
        if all {
            self.products.all_changed();
            self.customers.all_changed();
        } else {
            for (kind, id) in &changed {
                match kind {
                    Kind::Product => self.products.changed(id),
                    Kind::Customer => self.customers.changed(id),
                    Kind::Country => {}
                }
            }
        }
        self.version.store(newest, Ordering::Release);
        self.metrics.reference_version(newest);
        Ok(())
    }

    async fn read_regions(&self) -> Result<HashMap<Country, History<Arc<str>>>, Error> {
        let region = |mut attributes: Attributes| attributes.remove("region").unwrap_or_default().into();
        let all = answered(self.store.histories_of(Kind::Country)).await?;
        Ok(all.into_iter().filter_map(|(id, c)| Some((Country::from_code(&id)?, History::read(c, region)))).collect())
    }

    /// Loads files whose content is new, each as a whole or not at all.
    pub(crate) async fn load(&self, files: &[records::File], earliest: Timestamp) -> Result<(), Error> {
        for file in files {
            let Some(verdicts) = self.store.load(file, earliest).await? else { continue };
            let changed = verdicts.iter().filter(|v| matches!(v, Verdict::Changed(..))).count();
            tracing::info!(file = file.path, records = verdicts.len(), changed, "reference file loaded");
        }
        self.refresh().await
    }

    /// What is known of these products and customers, and of all countries.
    pub(crate) async fn snapshot<'a>(
        &'a self,
        products: HashSet<&'a str>,
        customers: HashSet<&'a str>,
    ) -> Result<Snapshot<'a>, Error> {
        // The version first: whatever it counts is then found below.
        let version = self.version.load(Ordering::Acquire);
        let profile = |attributes: Attributes| Profile {
            country: attributes.get("country").and_then(|country| self.countries.find(country)),
            attributes,
        };
        Ok(Snapshot {
            version,
            products: self.find(&self.products, products, product).await?,
            customers: self.find(&self.customers, customers, profile).await?,
            regions: self.regions.read().unwrap_or_else(PoisonError::into_inner).clone(),
            countries: &self.countries,
        })
    }

    async fn find<'a, T: Send + Sync + 'static>(
        &self,
        table: &Table<T>,
        ids: HashSet<&'a str>,
        read: impl Fn(Attributes) -> T,
    ) -> Result<HashMap<&'a str, Arc<History<T>>>, Error> {
        let mut found = HashMap::with_capacity(ids.len());
        if !table.populated.load(Ordering::Acquire) {
            return Ok(found);
        }
        let mut missing = Vec::new();
        for id in ids {
            match table.cache.get(id) {
                Some(history) => drop(found.insert(id, history)),
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        self.metrics.reference_misses(table.kind, missing.len());
        let _gate = self.gate.read().await;
        let mut stored = answered(self.store.histories(table.kind, &missing)).await?;
        for id in missing {
            let history = Arc::new(History::read(stored.remove(id).unwrap_or_default(), &read));
            table.cache.insert(id.into(), history.clone());
            found.insert(id, history);
        }
        Ok(found)
    }
}

/// Reference data of one version, for the events of one batch.
pub(crate) struct Snapshot<'a> {
    version: u64,
    products: HashMap<&'a str, Arc<History<ItemFacts>>>,
    customers: HashMap<&'a str, Arc<History<Profile>>>,
    regions: Arc<HashMap<Country, History<Arc<str>>>>,
    countries: &'a Countries,
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

    pub(crate) fn country(&self, text: &str) -> Option<Country> {
        self.countries.find(text)
    }

    pub(crate) fn region(&self, country: Country, time: Timestamp) -> Option<&str> {
        let moved = self.regions.get(&country).and_then(|history| history.at(time, self.version));
        moved.map(|region| &**region).or_else(|| self.countries.region(country))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    fn category(name: &str) -> Attributes {
        Attributes::from([("category".into(), name.into())])
    }

    fn record(valid_from: Option<i64>, name: &str) -> Record {
        Record { kind: Kind::Product, id: "x".into(), valid_from: valid_from.map(at), attributes: category(name) }
    }

    fn change(version: u64, valid_from: Option<i64>, name: &str) -> Change {
        Change { version, valid_from: valid_from.map(at), attributes: category(name) }
    }

    #[test]
    fn a_record_changes_what_will_be_and_never_what_was() {
        let accepted = [change(1, None, "a"), change(5, Some(900), "c")];
        for (record, verdict) in [
            (record(None, "a"), Verdict::Unchanged(1)),
            (record(None, "b"), Verdict::Changed(9, Some(at(500)))),
            (record(Some(499), "b"), Verdict::TooEarly),
            (record(Some(499), "a"), Verdict::Unchanged(1)),
            (record(Some(900), "c"), Verdict::Unchanged(5)),
            (record(Some(900), "a"), Verdict::Changed(9, Some(at(900)))),
        ] {
            assert_eq!(decide(&accepted, false, &record, at(500), 9), verdict, "{record:?}");
        }
        assert_eq!(decide(&[], true, &record(None, "a"), at(500), 1), Verdict::Changed(1, None));
        let first = [change(3, Some(7), "a")];
        assert_eq!(decide(&first, true, &record(Some(9), "b"), at(500), 4), Verdict::Changed(4, Some(at(9))));
        assert_eq!(decide(&[], true, &record(Some(7), "a"), at(500), 1), Verdict::Changed(1, Some(at(7))));
    }

    #[test]
    fn the_join_is_as_of_a_time_and_of_a_version() {
        let changes =
            vec![change(1, None, "a"), change(2, Some(900), "c"), change(3, Some(500), "b"), change(4, Some(500), "d")];
        let history = History::read(changes, product);
        let category = |time, version| history.at(at(time), version).map(|facts| facts.category.as_str());
        assert_eq!(category(-1, 9), Some("a"));
        assert_eq!(category(499, 9), Some("a"));
        assert_eq!(category(500, 9), Some("d"), "of one time the last");
        assert_eq!(category(500, 3), Some("b"), "as the version knew it");
        assert_eq!(category(900, 9), Some("c"), "the latest time, in whichever order");
        assert_eq!(category(0, 0), None);
    }

    async fn reference(folder: &tidemill_testkit::TempDir, entries: u64) -> Reference {
        let store = Arc::new(crate::testing::sqlite(folder).await);
        let config = ReferenceConfig { cached_entries: entries, ..ReferenceConfig::default() };
        let metrics = Arc::new(Metrics::new(&tidemill_service::Registry::default()));
        Reference::new(store, Countries::built_in().expect("parses"), &config, metrics)
    }

    async fn category_of(reference: &Reference, id: &str, time: i64) -> (u64, Option<String>) {
        let snapshot = reference.snapshot(HashSet::from([id]), HashSet::new()).await.expect("reads");
        (snapshot.version(), snapshot.product(id, at(time)).map(|facts| facts.category.clone()))
    }

    #[tokio::test]
    async fn a_change_is_seen_after_a_refresh_also_by_who_missed_before() {
        let folder = tidemill_testkit::tempdir();
        let reference = reference(&folder, 100).await;
        let replica = self::reference(&folder, 100).await;
        assert_eq!(category_of(&reference, "x", 0).await, (0, None));
        reference.store.accept(&[Record { id: "y".into(), ..record(None, "z") }], at(500)).await.expect("accepts");
        reference.refresh().await.expect("reads");
        assert_eq!(category_of(&reference, "x", 0).await, (1, None), "now a miss is kept");
        reference.store.accept(&[record(None, "a")], at(500)).await.expect("accepts");
        assert_eq!(category_of(&reference, "x", 0).await, (1, None));
        reference.refresh().await.expect("reads");
        assert_eq!(category_of(&reference, "x", 0).await, (2, Some("a".into())));
        reference.store.accept(&[record(None, "b")], at(500)).await.expect("accepts");
        for reference in [&reference, &replica] {
            reference.refresh().await.expect("reads");
            assert_eq!(category_of(reference, "x", 499).await, (3, Some("a".into())));
            assert_eq!(category_of(reference, "x", 500).await, (3, Some("b".into())));
        }
    }

    #[tokio::test]
    async fn what_is_newer_than_the_version_is_not_used() {
        let folder = tidemill_testkit::tempdir();
        let reference = reference(&folder, 100).await;
        reference.store.accept(&[record(None, "a")], at(500)).await.expect("accepts");
        reference.refresh().await.expect("reads");
        // Read from the store only now, with the second change in it.
        reference.store.accept(&[record(None, "b")], at(500)).await.expect("accepts");
        assert_eq!(category_of(&reference, "x", 900).await, (1, Some("a".into())));
    }

    #[tokio::test]
    async fn many_changes_at_once_are_seen_too() {
        let folder = tidemill_testkit::tempdir();
        let reference = reference(&folder, 100).await;
        let country = Record {
            kind: Kind::Country,
            id: "TR".into(),
            valid_from: None,
            attributes: Attributes::from([("region".into(), "Europe".into())]),
        };
        let many: Vec<Record> =
            (0..=CHANGES_AT_ONCE).map(|n| Record { id: n.to_string(), ..record(None, "a") }).chain([country]).collect();
        reference.store.accept(&many, at(500)).await.expect("accepts");
        reference.refresh().await.expect("reads");
        assert_eq!(category_of(&reference, "10000", 0).await, (many.len() as u64, Some("a".into())));
        let snapshot = reference.snapshot(HashSet::new(), HashSet::new()).await.expect("reads");
        let region = |name: &str| snapshot.country(name).and_then(|country| snapshot.region(country, at(0)));
        assert_eq!((region("Turkey"), region("EIRE")), (Some("Europe"), Some("Europe")));
        assert_eq!(region("Egypt"), Some("Middle East & Africa"));
    }
}
