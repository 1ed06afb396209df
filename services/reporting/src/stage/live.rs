//! Totals for whoever looks, as they are published: no replica waits for the one that
//! writes them into the read model.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidemill_bus::{Delivery, Error as BusError};
use tidemill_events::{MetricsUpdate, StreamName};
use tidemill_service::{Breaker, Conditions};
use tidemill_stage::{Checkpoint, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tidemill_store::answered;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{error::Error, read_model::MetricsFold, state::Reporting, unit::StreamUnit};

/// Messages that are taken in at once.
const CHUNK: usize = 64;
/// How often it is looked whether anybody still looks.
const LOOK: Duration = Duration::from_secs(1);

/// Listens to `METRICS` whenever somebody looks, until shutdown.
pub(crate) async fn listen(reporting: Arc<Reporting>) -> Result<(), Error> {
    let shutdown = reporting.context.shutdown.clone();
    let conditions = Conditions::new(&reporting.context.health, "live");
    while shutdown.run_until_cancelled(reporting.hub.watched()).await.is_some() {
        let stop = shutdown.child_token();
        let listener = Listener {
            reporting: &reporting,
            stop: stop.clone(),
            store: reporting.context.breaker("store"),
            nats: reporting.context.breaker("nats"),
        };
        let (listened, ()) = tokio::join!(
            async {
                let listened = supervise(listener, StreamUnit::Metrics, &stop, &conditions).await;
                // Also where it ended by itself.
                stop.cancel();
                listened
            },
            unwatched(&reporting, &stop)
        );
        forget(&reporting);
        listened?;
    }
    Ok(())
}

/// Stops once nobody looks any more.
async fn unwatched(reporting: &Reporting, stop: &CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if !reporting.hub.is_watched() {
            stop.cancel();
        }
    }
}

fn forget(reporting: &Reporting) {
    reporting.hub.heard.end();
    reporting.windows.end();
}

struct Listener<'r> {
    reporting: &'r Reporting,
    stop: CancellationToken,
    store: Breaker,
    nats: Breaker,
}

impl Work for Listener<'_> {
    type Error = Error;

    /// Begins behind what is stored: with that, it is all there is.
    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Reporting { store, bus, context, .. } = self.reporting;
        let opened = async {
            let reached = self.store.call(answered(store.reached(StreamUnit::Metrics))).await?.unwrap_or_default();
            // The stream may have lost its end.
            let reached = reached.min(self.nats.call(bus.end(StreamName::Metrics)).await?);
            let follow = bus.follow_behind(StreamUnit::Metrics.durable(), &context.instance, reached);
            Ok::<_, Error>((reached, self.nats.call(follow).await?))
        };
        let Some(opened) = self.stop.run_until_cancelled(opened).await else { return Ok(()) };
        let (reached, mut subscription) = opened?;
        self.reporting.windows.begin();
        self.reporting.hub.heard.begin(reached);
        progress.opened();
        let mut task = ListenerTask { reporting: self.reporting };
        consume(&mut subscription, &mut task, &self.stop, progress).await
    }

    /// Clients are told what is stored meanwhile.
    fn is_condition(&self, _: &Error) -> bool {
        false
    }

    fn failed(&mut self, error: &Error) {
        forget(self.reporting);
        tracing::warn!(code = error.code().as_str(), %error, "live updates wait for the read model");
    }
}

struct ListenerTask<'r> {
    reporting: &'r Reporting,
}

impl Steps for ListenerTask<'_> {
    type Message = MetricsUpdate;
    type Error = Error;
    type Event = Infallible;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// Who writes the read model sets it aside.
    async fn unreadable(&mut self, _: &Delivery, _: BusError) -> Result<(), Error> {
        Ok(())
    }

    async fn apply(&mut self, read: Vec<Read<MetricsUpdate>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        self.reporting.windows.room().await;
        let Some(last) = read.last().map(|read| read.delivery.sequence) else { return Ok(()) };
        let mut fold = MetricsFold::default();
        for Read { delivery, message } in read {
            applied.push(delivery);
            message.into_iter().for_each(|update| fold.observe(update));
        }
        self.reporting.cells_heard(fold.cells, last);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn event(&mut self) -> Infallible {
        std::future::pending().await
    }

    async fn handle(&mut self, event: Infallible) -> Result<(), Error> {
        match event {}
    }
}
