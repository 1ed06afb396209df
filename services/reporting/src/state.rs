//! What the parts of the service share.

use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};
use std::{collections::BTreeMap, sync::Arc};

use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::Context;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    alerts::Alert,
    catalogue::{Catalogue, Metric},
    config::{LimitsConfig, LinksConfig, LiveConfig},
    error::Error,
    health::Health,
    live::{Changes, Hub},
    read_model::MetricsFold,
    store::{Standing, Store},
    telemetry::Telemetry,
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
    /// What one request may ask for.
    pub limits: LimitsConfig,
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
    standing: RwLock<Standing>,
    catalogue: RwLock<Catalogue>,
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
        (limits, links, live): (LimitsConfig, LinksConfig, LiveConfig),
        catalogue: Catalogue,
        standing: Standing,
    ) -> Arc<Self> {
        let epoch = context.new_id().simple().to_string();
        Arc::new(Self {
            telemetry: Telemetry::new(&context.registry),
            hub: Hub::new(live.clients, epoch, context.shutdown.clone()),
            health: watch::Sender::new(Health::unknown(context.clock.now(), &links)),
            news: News::default(),
            readers: Semaphore::new(READERS),
            standing: RwLock::new(standing),
            catalogue: RwLock::new(catalogue),
            context,
            bus,
            store,
            limits,
            links,
            live,
        })
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
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
