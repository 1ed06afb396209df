//! What the parts of the service share.

use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::{collections::BTreeMap, sync::Arc};

use axum::http::request;
use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::{
    Access, CeilingConfig, Conditions, Context,
    clients::{self, ClientKey, Network},
};
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    alerts::Alert,
    catalogue::{Catalogue, Metric, Version},
    config::Config,
    config::{LimitsConfig, LinksConfig, LiveConfig},
    error::Error,
    health::Health,
    http::Logins,
    live::{Changes, Hub},
    read_model::{CellKey, MetricsFold},
    store::{Standing, Store},
    telemetry::Telemetry,
    unit::Unit,
};

/// Questions that read the store at once; folding keeps connections of its own.
const READERS: usize = 2;

/// The service's parts.
pub struct Reporting {
    /// Clock, shutdown, health.
    pub context: Context,
    /// The bus.
    pub bus: Bus,
    /// The read model.
    pub store: Store,
    /// Who may do what.
    pub access: Access,
    /// Who may log in, and how often it may be tried.
    pub logins: Logins,
    /// What one request may ask for.
    pub limits: LimitsConfig,
    /// Why streams cannot go on.
    pub conditions: Conditions<Unit>,
    /// How many unreadable messages are borne.
    pub dead_letters: CeilingConfig,
    /// Where other parts of the suite are.
    pub links: LinksConfig,
    /// Live updates.
    pub live: LiveConfig,
    /// Its metrics.
    pub telemetry: Telemetry,
    /// The live stream.
    pub hub: Arc<Hub>,
    /// What is to be sent on it.
    pub news: News,
    /// The health of the chain, as it was last seen.
    pub health: watch::Sender<Health>,
    /// Places for questions that read the store.
    pub readers: Semaphore,
    /// Orders for dead letters are written down.
    pub ordered: Notify,
    /// What of others' folds this replica has heard of.
    pub seen: Seen,
    standing: RwLock<Standing>,
    catalogue: RwLock<Catalogue>,
    /// Networks whose addresses stand for many clients.
    shared_networks: Vec<Network>,
}

/// What has changed since it was last sent.
#[derive(Debug, Default)]
pub struct News {
    changes: Mutex<Changes>,
    books: AtomicBool,
    came: Notify,
}

impl News {
    /// The cells that changed.
    pub fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books changed.
    pub fn books_changed(&self) {
        self.books.store(true, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Whether the books have changed since this was last asked.
    pub fn take_books(&self) -> bool {
        self.books.swap(false, Ordering::Relaxed)
    }

    /// Waits until something has changed since this last returned.
    pub async fn came(&self) {
        self.came.notified().await;
    }
}

/// How far this replica knows what was folded, by itself or by another: what
/// it has folded itself it need not be told.
#[derive(Debug, Default)]
pub struct Seen {
    change: AtomicU64,
    alert: AtomicU64,
}

impl Seen {
    /// The last change to cells, and the last transition of an alert.
    pub fn get(&self) -> (u64, u64) {
        (self.change.load(Ordering::Acquire), self.alert.load(Ordering::Acquire))
    }

    /// A change is known. One that leaves others out before it is not taken
    /// for the last.
    pub fn change(&self, number: u64) {
        // Where it fails, the look at the store finds it.
        let before = number.saturating_sub(1);
        let _ = self.change.compare_exchange(before, number, Ordering::AcqRel, Ordering::Acquire);
    }

    /// All changes up to this one are known.
    pub fn changes_to(&self, number: u64) {
        self.change.store(number, Ordering::Release);
    }

    /// All transitions of alerts up to this stream sequence are known.
    pub fn alerts_to(&self, sequence: u64) {
        self.alert.fetch_max(sequence, Ordering::AcqRel);
    }
}

/// How far the numbers are true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// When the newest update was folded.
    pub as_of: Option<Timestamp>,
    /// The suite's watermark.
    pub watermark: Option<Timestamp>,
    /// Windows that end no later are complete.
    pub complete_until: Option<Timestamp>,
}

impl Truth {
    /// Whether a window that ends at `end` is complete.
    pub fn is_complete(&self, end: Timestamp) -> bool {
        self.complete_until.is_some_and(|until| end <= until)
    }
}

impl Reporting {
    /// With what the store held at the start.
    pub fn new(
        context: Context,
        bus: Bus,
        store: Store,
        config: Config,
        access: Access,
        catalogue: Catalogue,
        standing: Standing,
    ) -> Arc<Self> {
        let epoch = context.new_id().simple().to_string();
        let Config { http, limits, links, live, dead_letters, session, .. } = config;
        let seen = Seen::default();
        seen.changes_to(standing.change);
        seen.alerts_to(standing.reached.get(Unit::Alerts.name()).copied().unwrap_or_default());
        Arc::new(Self {
            telemetry: Telemetry::new(&context.registry),
            hub: Hub::new(live.clients, live.clients_per_address, epoch, context.shutdown.clone()),
            health: watch::Sender::new(Health::unknown(context.clock.now(), &links)),
            news: News::default(),
            readers: Semaphore::new(READERS),
            ordered: Notify::new(),
            seen,
            access,
            logins: Logins::new(session),
            conditions: Conditions::new(&context.health, "stream"),
            dead_letters,
            standing: RwLock::new(standing),
            catalogue: RwLock::new(catalogue),
            context,
            bus,
            store,
            limits,
            links,
            live,
            shared_networks: http.shared_networks,
        })
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Whose share a request is charged to.
    pub fn client(&self, head: &request::Parts) -> Option<ClientKey> {
        ClientKey::of(clients::address(head, self.live.trusted_proxies)?, &self.shared_networks)
    }

    /// How far the numbers are true now.
    pub fn truth(&self) -> Truth {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        Truth {
            as_of: standing.as_of,
            watermark: standing.watermarks.watermark(),
            complete_until: standing.watermarks.complete_until(self.now()),
        }
    }

    /// Every metric in the version that is served.
    pub fn metrics(&self) -> Vec<Metric> {
        let catalogue = self.catalogue.read().unwrap_or_else(PoisonError::into_inner);
        catalogue.served().into_iter().cloned().collect()
    }

    /// A metric in a version: the one asked for, else the one that is served.
    pub fn metric(&self, name: &str, version: Option<&str>) -> Result<Metric, Error> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).find(name, version).cloned()
    }

    /// Metrics updates are in the store.
    pub fn metrics_folded(&self, fold: &MetricsFold, now: Timestamp) {
        {
            let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
            fold.progress.iter().for_each(|(partition, said)| standing.watermarks.observe(*partition, *said));
            standing.as_of = standing.as_of.max(Some(now));
        }
        for (metric, version) in fold.versions() {
            let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
            catalogue.data_came(metric, version, now);
        }
        let mut changes = self.news.changes();
        fold.changed().into_iter().for_each(|key| changes.changed(key.clone()));
        drop(changes);
        if !fold.outcomes.is_empty() {
            self.news.books.store(true, Ordering::Relaxed);
        }
        self.news.came.notify_one();
    }

    /// Whether data of this version is known of.
    pub fn has_data(&self, key: &CellKey) -> bool {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).has_data(&key.metric, &key.version)
    }

    /// Versions that are stored.
    pub fn versions_stored(&self, versions: Vec<Version>) {
        self.catalogue.write().unwrap_or_else(PoisonError::into_inner).learn(versions);
    }

    /// How far the store is, by whoever's fold. Answers what it was known to
    /// be before. One that is further behind than that was made anew.
    pub fn standing_read(&self, read: Standing, is_new: bool) -> Standing {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        let before = standing.clone();
        if is_new {
            *standing = read;
        } else {
            standing.watermarks.merge(&read.watermarks);
            standing.as_of = standing.as_of.max(read.as_of);
            standing.reached = read.reached;
        }
        before
    }

    /// Cells that another replica folded.
    pub fn cells_changed(&self, keys: Vec<CellKey>) {
        let mut changes = self.news.changes();
        keys.into_iter().for_each(|key| changes.changed(key));
        drop(changes);
        self.news.came.notify_one();
    }

    /// Batches of the log are in the store.
    pub fn log_folded(&self, heads: &BTreeMap<Partition, u64>) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        heads.iter().for_each(|(partition, head)| standing.watermarks.received(*partition, *head));
        drop(standing);
        self.news.books_changed();
    }

    /// Transitions of alerts are in the store.
    pub fn alerts_folded(&self, alerts: &[Alert]) {
        if self.hub.is_watched() {
            alerts.iter().for_each(|alert| self.hub.send("alert", alert));
        } else {
            self.hub.reset();
        }
    }
}
