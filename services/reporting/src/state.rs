//! What the parts of the service share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::request;
use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_service::{
    Access, CeilingConfig, Conditions, Context, Exchanged,
    clients::{self, ClientKey, Network},
};
use tokio::{
    sync::{Mutex, Notify, Semaphore, watch},
    time::Instant,
};

use crate::{
    alerts::AlertRecord,
    batch::AnswerParts,
    catalogue::{Catalogue, Metric, Version},
    chain::ChainHealth,
    config::{AnswerLimitsConfig, CalendarConfig, Config, LiveConfig, PageLinksConfig, SessionConfig},
    error::Error,
    live::{Hub, LiveWindows, News},
    logins::Logins,
    read_model::{FoldedCells, MergedCellKey, MetricsFold, VersionName},
    store::{ReadModelStanding, Store},
    telemetry::Telemetry,
    unit::{SequenceRange, StreamUnit},
};

pub(crate) use crate::watermark::Truth;

/// Questions that read the store at once; folding keeps connections of its own.
const READERS: usize = 2;
/// What another replica has changed of what is served is seen after this long.
const POINTERS_FRESH: Duration = Duration::from_millis(200);

/// The service's parts.
pub(crate) struct Reporting {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    /// Who may do what.
    pub(crate) access: Access,
    /// How often it may be tried to log in.
    pub(crate) logins: Logins,
    /// Logging in to the page.
    pub(crate) session: SessionConfig,
    /// What one request may ask for.
    pub(crate) limits: AnswerLimitsConfig,
    /// Why streams cannot go on.
    pub(crate) conditions: Conditions<StreamUnit>,
    /// How many unreadable messages are tolerated.
    pub(crate) dead_letters: CeilingConfig,
    /// Where other parts of the suite are.
    pub(crate) links: PageLinksConfig,
    /// Whose days are meant.
    pub(crate) calendar: CalendarConfig,
    /// Live updates.
    pub(crate) live: LiveConfig,
    pub(crate) telemetry: Telemetry,
    pub(crate) hub: Arc<Hub>,
    /// What is to be sent on it.
    pub(crate) news: News,
    /// Totals of windows that change, while somebody looks.
    pub(crate) windows: LiveWindows,
    /// The health of the chain, as it was last seen.
    pub(crate) health: watch::Sender<ChainHealth>,
    /// Places for questions that read the store.
    pub(crate) readers: Semaphore,
    /// Orders for dead letters are written down.
    pub(crate) ordered: Notify,
    /// What of others' folds this replica has heard of.
    pub(crate) seen: SeenFolds,
    standing: RwLock<ReadModelStanding>,
    catalogue: Exchanged<Catalogue>,
    /// When it was last looked which versions are served.
    looked_at_pointers: Mutex<Option<Instant>>,
    /// Networks whose addresses stand for many clients.
    shared_networks: Vec<Network>,
}

/// How far this replica knows what was folded, by itself or by another. It need
/// not be told of its own folds.
#[derive(Debug, Default)]
pub(crate) struct SeenFolds {
    change: AtomicU64,
    alert: AtomicU64,
}

impl SeenFolds {
    /// The last change to cells, and the last transition of an alert.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.change.load(Ordering::Acquire), self.alert.load(Ordering::Acquire))
    }

    /// A change is known. It is noted only if all changes before it are known.
    pub(crate) fn change(&self, number: u64) {
        // Otherwise the next look at the store finds it.
        let before = number.saturating_sub(1);
        let _ = self.change.compare_exchange(before, number, Ordering::AcqRel, Ordering::Acquire);
    }

    /// All changes up to this one are known.
    pub(crate) fn changes_to(&self, number: u64) {
        self.change.store(number, Ordering::Release);
    }

    /// All transitions of alerts up to this stream sequence are known.
    pub(crate) fn alerts_to(&self, sequence: u64) {
        self.alert.fetch_max(sequence, Ordering::AcqRel);
    }
}

impl Reporting {
    /// With what the store held at the start.
    pub(crate) fn new(
        context: Context,
        bus: Bus,
        store: Store,
        config: Config,
        access: Access,
        catalogue: Catalogue,
        standing: ReadModelStanding,
    ) -> Arc<Self> {
        let epoch = context.new_id().simple().to_string();
        let Config { http, limits, links, live, dead_letters, session, calendar, .. } = config;
        let seen = SeenFolds::default();
        seen.changes_to(standing.change);
        seen.alerts_to(standing.reached.get(StreamUnit::Alerts.name()).copied().unwrap_or_default());
        Arc::new(Self {
            telemetry: Telemetry::new(&context.registry),
            hub: Hub::new(live.clients, live.clients_per_address, epoch, context.shutdown.clone()),
            health: watch::Sender::new(ChainHealth::unknown(context.clock.now(), &links)),
            news: News::default(),
            windows: LiveWindows::default(),
            readers: Semaphore::new(READERS),
            ordered: Notify::new(),
            seen,
            access,
            logins: Logins::new(),
            session,
            conditions: Conditions::new(&context.health, "stream"),
            dead_letters,
            standing: RwLock::new(standing),
            catalogue: Exchanged::new(catalogue),
            looked_at_pointers: Mutex::default(),
            context,
            bus,
            store,
            limits,
            links,
            calendar,
            live,
            shared_networks: http.shared_networks,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// The client whose share a request is charged to.
    pub(crate) fn client(&self, head: &request::Parts) -> Option<ClientKey> {
        ClientKey::of(clients::address(head, self.live.trusted_proxies)?, &self.shared_networks)
    }

    /// How far the numbers are true. Where nothing was ever received, no window
    /// waits for anything.
    pub(crate) fn truth(&self) -> Truth {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        let mut truth = standing.truth;
        if standing.watermarks.is_empty() && !self.hub.heard.is_any() {
            truth.complete_until = truth.complete_until.max(Some(self.now()));
        }
        truth
    }

    /// What is stored of how far the numbers are true.
    pub(crate) fn truth_stored(&self, truth: Truth) {
        self.standing.write().unwrap_or_else(PoisonError::into_inner).truth.raise(truth);
    }

    /// How far the numbers of a metric are true: those of a generation as far as it is.
    pub(crate) async fn truth_of(&self, metric: &Metric) -> Result<Truth, Error> {
        let live = self.truth();
        let Some(generation) = metric.generation() else { return Ok(live) };
        let progress = self.store.generation_progress(generation).await?;
        let counted = {
            let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
            standing.watermarks.counted_to(progress)
        };
        // What was received by then is known of; so it is counted, if all that is known of is.
        Ok(live.as_of.map_or_else(|| counted.truth(), |as_of| counted.truth_at(as_of)))
    }

    /// What answers about a metric are made of, where there is a batch view of it.
    pub(crate) async fn parts_of(&self, metric: &Metric) -> Result<Option<AnswerParts>, Error> {
        let Some(view) = self.store.landed_view(metric).await? else { return Ok(None) };
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(AnswerParts::of(view, standing.watermarks.reached())))
    }

    /// The metrics and their versions, as they are at this moment.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.current()
    }

    /// The same with what is served now, whoever changed it. An answer takes all that it
    /// tells from one of these.
    pub(crate) async fn served_now(&self) -> Result<Arc<Catalogue>, Error> {
        // One looks, and those who have waited for it need not.
        let mut looked_at = self.looked_at_pointers.lock().await;
        if looked_at.is_none_or(|at| at.elapsed() >= POINTERS_FRESH) {
            self.look_at_pointers().await?;
            *looked_at = Some(Instant::now());
        }
        Ok(self.catalogue())
    }

    /// Takes note of which versions are served. Where that is news, clients of the live
    /// stream fetch everything anew.
    pub(crate) async fn look_at_pointers(&self) -> Result<(), tidemill_store::Error> {
        let pointers = tidemill_store::answered(self.store.pointers()).await?;
        if self.catalogue().has_pointers(&pointers) {
            return Ok(());
        }
        // They may lead to versions that nobody here has asked for yet.
        let versions = tidemill_store::answered(self.store.versions()).await?;
        self.catalogue.change(|catalogue| {
            catalogue.learn(versions);
            catalogue.point(pointers);
        });
        self.hub.reset();
        Ok(())
    }

    /// Every metric in the version that is served.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.catalogue().served().into_iter().cloned().collect()
    }

    /// A metric in the version that is served.
    pub(crate) fn metric(&self, name: &str) -> Result<Metric, Error> {
        self.catalogue().find(name, None).cloned()
    }

    /// Metrics updates are in the store, those of these messages.
    pub(crate) fn metrics_folded(&self, fold: &MetricsFold, range: SequenceRange, now: Timestamp) {
        {
            let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
            fold.progress.iter().for_each(|(partition, said)| standing.watermarks.observe(*partition, *said));
            let truth = Truth { as_of: Some(now), ..standing.watermarks.truth() };
            standing.truth.raise(truth);
        }
        match self.hub.heard.is_known(range) {
            true => self.note_versions(&fold.cells, now),
            false => self.cells_folded(&fold.cells, now),
        }
        if !fold.outcomes.is_empty() {
            self.news.books_changed();
        }
    }

    /// Totals are in the store.
    pub(crate) fn cells_folded(&self, cells: &FoldedCells, now: Timestamp) {
        self.note_versions(cells, now);
        if self.hub.is_watched() {
            self.news.cells_changed(cells.changed());
        } else {
            self.news.cells_missed();
        }
    }

    /// Totals of messages up to this one were heard of, by somebody who looks.
    pub(crate) fn cells_heard(&self, cells: FoldedCells, last: u64) {
        self.note_versions(&cells, self.now());
        let changed: Vec<_> = cells.changed().collect();
        self.windows.hear(cells, last);
        self.hub.heard.hear(last);
        self.news.cells_changed(changed);
    }

    /// There is data of these versions.
    fn note_versions(&self, cells: &FoldedCells, now: Timestamp) {
        let known = self.catalogue();
        let is_new = |((metric, version), _): &(&VersionName, _)| !known.has_data(metric, version);
        let new: Vec<_> = cells.versions().filter(is_new).map(|(version, _)| version).collect();
        if !new.is_empty() {
            self.catalogue.change(|catalogue| {
                new.iter().for_each(|(metric, version)| catalogue.data_came(metric, version, now));
            });
        }
    }

    /// Whether data of this version is known of.
    pub(crate) fn has_data(&self, key: &MergedCellKey) -> bool {
        self.catalogue().has_data(&key.metric, &key.version)
    }

    /// Versions that are stored.
    pub(crate) fn versions_stored(&self, versions: Vec<Version>) {
        self.catalogue.change(|catalogue| catalogue.learn(versions));
    }

    /// Takes note of how far the store is; answers what was known before.
    /// `is_new` says that the database was made anew.
    pub(crate) fn standing_read(&self, read: ReadModelStanding, is_new: bool) -> ReadModelStanding {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        let before = standing.clone();
        if is_new {
            *standing = read;
        } else {
            standing.watermarks.merge(&read.watermarks);
            standing.truth.raise(read.truth);
            standing.reached = read.reached;
        }
        before
    }

    /// Batches of the log are in the store.
    pub(crate) fn log_folded(&self, heads: &BTreeMap<Partition, u64>) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        heads.iter().for_each(|(partition, head)| standing.watermarks.received(*partition, *head));
        drop(standing);
        self.news.books_changed();
    }

    /// Transitions of alerts are in the store.
    pub(crate) fn alerts_folded(&self, alerts: &[AlertRecord]) {
        if self.hub.is_watched() {
            alerts.iter().for_each(|alert| self.hub.send("alert", alert));
        } else {
            self.hub.reset();
        }
    }
}
