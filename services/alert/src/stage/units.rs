//! A unit of the work, from its take-over to its end.
//!
//! Everything that a unit keeps in memory is read from the store when it is
//! taken over, after it was claimed there, and dropped when it ends. So a
//! replica that lost a unit and gets it back, or finds itself superseded in the
//! middle of a step, goes on from what stands in the store.

use std::{sync::Arc, time::Duration};

use tidemill_domain::Backoff;
use tidemill_events::{Durable, StreamName};
use tidemill_ownership::Lease;
use tidemill_stage::{DeadLetters, Ingested, LogPlace, Progressing, Work, supervise};
use tidemill_store::answered;
use tokio::task::{JoinError, JoinSet};

use super::{event::EventStage, metric::MetricStage, open_unit::OpenUnit, reader::RuleReader};
use crate::{
    app::App,
    dependencies::{pause, until_done},
    error::Error,
    evaluate::{event::EventRules, metric::MetricRules},
    outbox::{self, Webhook},
    state::Saved,
    store::UnitClaim,
    unit::AlertUnit,
};

/// How long the outbox may take for its step in hand: a message to Slack, and the
/// note that it was taken.
const OUTBOX_PARTING: Duration = Duration::from_secs(10);

/// Does a unit's work until it is to be given back. Only an error that no
/// waiting can mend is returned.
pub(crate) async fn work(app: Arc<App>, webhook: Option<Webhook>, lease: Lease<AlertUnit>) -> Result<(), Error> {
    let (unit, stop) = (lease.unit(), lease.stop().clone());
    let units = app.units.clone();
    match unit {
        AlertUnit::Outbox => supervise(OutboxWork { app, lease, webhook }, unit, &stop, &units).await,
        AlertUnit::Events | AlertUnit::Metrics => {
            let stream = if unit == AlertUnit::Events { StreamName::Enriched } else { StreamName::Metrics };
            let dead_letters = Arc::new(DeadLetters::new(&app.context, &app.bus, stream, app.config.dead_letters));
            supervise(RulesWork { app, lease, stream, dead_letters }, unit, &stop, &units).await
        }
    }
}

/// Rules of either kind.
struct RulesWork {
    app: Arc<App>,
    lease: Lease<AlertUnit>,
    stream: StreamName,
    dead_letters: Arc<DeadLetters>,
}

impl Work for RulesWork {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Self { app, lease, stream, dead_letters } = self;
        let (claim, saved) = open(app, lease).await?;
        let (stop, dead_letters) = (lease.stop().clone(), dead_letters.clone());
        let unit = OpenUnit { app: app.clone(), claim, stream: *stream, stop, dead_letters };
        progress.goes_on();
        match lease.unit() {
            AlertUnit::Metrics => metrics(&unit, &saved).await,
            _ => events(&unit, &saved).await,
        }
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.reopened(self.lease.unit(), error);
    }
}

/// The outbox.
struct OutboxWork {
    app: Arc<App>,
    lease: Lease<AlertUnit>,
    webhook: Option<Webhook>,
}

impl Work for OutboxWork {
    type Error = Error;
    const PARTING: Duration = OUTBOX_PARTING;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        progress.goes_on();
        outbox::run(self.app.clone(), self.lease.clone(), self.webhook.clone()).await
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.reopened(AlertUnit::Outbox, error);
    }
}

/// Claims a unit in the store, and reads what it goes on from. Not while
/// another replica may own it: that would only take it away.
async fn open(app: &App, lease: &Lease<AlertUnit>) -> Result<(UnitClaim, Saved), Error> {
    let (store, stop, unit) = (&app.store, lease.stop(), lease.unit());
    while !lease.is_held() && !stop.is_cancelled() {
        pause(Backoff::FIRST, stop).await;
    }
    if stop.is_cancelled() {
        return Err(Error::Stopped);
    }
    let breaker = &app.dependencies.store;
    let claim = until_done(breaker, stop, || answered(store.claim(unit))).await?;
    let saved = until_done(breaker, stop, || answered(store.load(unit))).await?;
    Ok((claim, saved))
}

async fn events(unit: &OpenUnit, saved: &Saved) -> Result<(), Error> {
    let App { rules, telemetry, bus, context, .. } = &*unit.app;
    let of_events = EventRules::new(rules.event.clone(), saved, telemetry.clone());
    let rules = Arc::new(of_events.with_quality(rules.quality.clone(), saved));
    let mut readers = JoinSet::new();
    for partition in bus.partitions().all() {
        let done = saved.progress.get(&partition).map_or_else(LogPlace::default, |progress| LogPlace {
            raw_seq: progress.raw_seq,
            ingested: Ingested::at(progress.as_of),
        });
        let (clock, telemetry) = (context.clock.clone(), telemetry.clone());
        let stage = EventStage::new(rules.clone(), partition, done, clock, telemetry);
        readers.spawn(RuleReader::new(unit, Durable::AlertEvents(partition), stage).run());
    }
    // They share what they count, so none goes on when one cannot.
    let ended = all(&mut readers).await;
    readers.shutdown().await;
    ended
}

async fn metrics(unit: &OpenUnit, saved: &Saved) -> Result<(), Error> {
    let App { rules, metrics, telemetry, context, .. } = &*unit.app;
    let rules = MetricRules::new(rules.metric.clone(), metrics, saved, telemetry.clone());
    let stage = MetricStage { rules, clock: context.clock.clone() };
    RuleReader::new(unit, Durable::AlertMetrics, stage).run().await
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
