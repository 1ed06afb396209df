//! A unit of the work, from its take-over to its end.
//!
//! Everything that a unit keeps in memory is read from the store when it is
//! taken over, after it was claimed there, and dropped when it ends. So a
//! replica that lost a unit and gets it back, or finds itself superseded in the
//! middle of a step, goes on from what stands in the store.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_domain::{Backoff, Partition};
use tidemill_events::{Durable, StreamName};
use tidemill_ownership::{Lease, Owned};
use tidemill_service::{Conditions, Context};
use tidemill_stage::{DeadLetters, Progressing, Work, supervise};
use tidemill_store::answered;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    consumer::{EventStage, MetricStage, Reader, Session},
    dependencies::{Dependencies, until_done},
    error::Error,
    event_rules::EventRules,
    metric_rules::MetricRules,
    notify::{Notifier, Outbox, Wake},
    rules::Rules,
    slack::Webhook,
    store::{Claim, Notification, Saved, Store},
    telemetry::Telemetry,
    unit::Unit,
};

/// How long the outbox may take for its step in hand: a message to Slack, and the
/// note that it was taken.
const OUTBOX_PARTING: Duration = Duration::from_secs(10);

/// What every unit works with.
pub struct App {
    /// The service's.
    pub context: Context,
    /// What an operator sets.
    pub config: Config,
    /// The log.
    pub bus: Bus,
    /// The store.
    pub store: Store,
    /// What is evaluated.
    pub rules: Arc<Rules>,
    /// What metric rules look at.
    pub metrics: Metrics,
    /// Where messages are sent, if anywhere.
    pub webhook: Option<Webhook>,
    /// What may be away.
    pub dependencies: Dependencies,
    /// Tells the outbox of new alerts.
    pub wake: Wake,
    /// Which units this replica owns, once that is shared out.
    pub owned: OnceLock<Owned<Unit>>,
    /// Why units cannot go on.
    pub units: Conditions<Unit>,
    /// Why consumers cannot go on.
    pub consumers: Conditions<String>,
    /// Which partitions miss batches.
    pub gaps: Conditions<Partition>,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
}

/// Does a unit's work until it is to be given back. Only an error that no
/// waiting can mend is returned.
pub async fn work(app: Arc<App>, lease: Lease<Unit>) -> Result<(), Error> {
    let (unit, stop) = (lease.unit(), lease.stop().clone());
    let units = app.units.clone();
    match unit {
        Unit::Outbox => supervise(OutboxWork { app, lease }, unit, &stop, &units).await,
        Unit::Events | Unit::Metrics => {
            let dead_letters = |stream| DeadLetters::new(&app.context, &app.bus, stream, app.config.dead_letters);
            let stream = if unit == Unit::Events { StreamName::Enriched } else { StreamName::Metrics };
            let dead_letters = Arc::new(dead_letters(stream));
            supervise(RulesWork { app, lease, dead_letters }, unit, &stop, &units).await
        }
    }
}

/// Rules of either kind.
struct RulesWork {
    app: Arc<App>,
    lease: Lease<Unit>,
    dead_letters: Arc<DeadLetters>,
}

impl Work for RulesWork {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Self { app, lease, dead_letters } = self;
        let (claim, saved) = app.open(lease).await?;
        let session = app.session(lease, claim, dead_letters.clone());
        progress.goes_on();
        match lease.unit() {
            Unit::Metrics => app.metrics(&session, &saved).await,
            _ => app.events(&session, &saved).await,
        }
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.reopened(self.lease.unit(), error);
    }
}

/// The outbox.
struct OutboxWork {
    app: Arc<App>,
    lease: Lease<Unit>,
}

impl Work for OutboxWork {
    type Error = Error;
    const PARTING: Duration = OUTBOX_PARTING;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        progress.goes_on();
        self.app.outbox(&self.lease).await
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.reopened(Unit::Outbox, error);
    }
}

/// Waits; answers whether to stop.
pub(crate) async fn pause(length: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = sleep(length) => false,
        () = stop.cancelled() => true,
    }
}

impl App {
    /// Claims a unit in the store, and reads what it goes on from. Not while
    /// another replica may own it: that would only take it away.
    async fn open(&self, lease: &Lease<Unit>) -> Result<(Claim, Saved), Error> {
        let (store, stop, unit) = (&self.store, lease.stop(), lease.unit());
        while !lease.is_held() && !stop.is_cancelled() {
            pause(Backoff::FIRST, stop).await;
        }
        if stop.is_cancelled() {
            return Err(Error::Stopped);
        }
        let breaker = &self.dependencies.store;
        let claim = until_done(breaker, stop, || answered(store.claim(unit))).await?;
        let saved = until_done(breaker, stop, || answered(store.load(unit))).await?;
        Ok((claim, saved))
    }

    fn session(&self, lease: &Lease<Unit>, claim: Claim, dead_letters: Arc<DeadLetters>) -> Session {
        Session {
            context: self.context.clone(),
            bus: self.bus.clone(),
            store: self.store.clone(),
            claim,
            stop: lease.stop().clone(),
            dependencies: self.dependencies.clone(),
            dead_letters,
            consumers: self.consumers.clone(),
            gaps: self.gaps.clone(),
            wake: self.wake.clone(),
            notification: if self.webhook.is_some() { Notification::Pending } else { Notification::Off },
            telemetry: self.telemetry.clone(),
        }
    }

    async fn events(&self, session: &Session, saved: &Saved) -> Result<(), Error> {
        let rules = Arc::new(EventRules::new(self.rules.event.clone(), saved, self.telemetry.clone()));
        let mut readers = JoinSet::new();
        for partition in self.bus.partitions().all() {
            let floor = saved.progress.get(&partition).map_or(0, |progress| progress.raw_seq);
            let (clock, telemetry) = (self.context.clock.clone(), self.telemetry.clone());
            let stage = EventStage::new(rules.clone(), partition, floor, clock, telemetry);
            readers.spawn(Reader::new(session, Durable::AlertEvents(partition), stage).run());
        }
        // They share what they count, so none goes on when one cannot.
        let ended = all(&mut readers).await;
        readers.shutdown().await;
        ended
    }

    async fn metrics(&self, session: &Session, saved: &Saved) -> Result<(), Error> {
        let rules = MetricRules::new(self.rules.metric.clone(), &self.metrics, saved, self.telemetry.clone());
        let stage = MetricStage { rules, clock: self.context.clock.clone() };
        Reader::new(session, Durable::AlertMetrics, stage).run().await
    }

    async fn outbox(self: &Arc<Self>, lease: &Lease<Unit>) -> Result<(), Error> {
        let app = self.clone();
        let outbox = Outbox {
            store: self.store.clone(),
            bus: self.bus.clone(),
            lease: lease.clone(),
            is_alone: Arc::new(move || app.owns_all()),
            dependencies: self.dependencies.clone(),
            wake: self.wake.clone(),
            clock: self.context.clock.clone(),
            telemetry: self.telemetry.clone(),
        };
        let webhook = self.webhook.clone();
        outbox.run(webhook.map(|webhook| Notifier::new(webhook, &self.config.slack, &self.config.links))).await
    }

    fn owns_all(&self) -> bool {
        self.owned.get().is_some_and(|owned| Unit::ALL.into_iter().all(|unit| owned.contains(unit)))
    }
}

/// Waits for all readers, or for the first that fails.
async fn all(readers: &mut JoinSet<Result<(), Error>>) -> Result<(), Error> {
    while let Some(ended) = readers.join_next().await {
        match ended.map_err(JoinError::try_into_panic) {
            Ok(Ok(()) | Err(Error::Stopped)) => {}
            Ok(Err(error)) => return Err(error),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // Nobody else cancels them.
            Err(Err(_)) => return Err(Error::Stopped),
        }
    }
    Ok(())
}
