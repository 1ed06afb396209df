//! The hooks of the stage, for streams that events come by, beside those that are
//! posted: dead letters that are sent again (`REDRIVE`), and what the suite's own
//! services tell (`MEASURED`). Each message's events are validated, stored and
//! answered for like posted ones.
//!
//! One replica reads a stream. A message is acknowledged when its events are in the
//! log, or among the dead letters; one that comes again after a crash has the same
//! ids, and is a duplicate.

mod measured;
mod redrive;

use std::{convert::Infallible, fmt, marker::PhantomData, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::{Bus, Delivery};
use tidemill_domain::Code;
use tidemill_events::{DeadLetter, Durable, MeasuredEvent, Message, Redrive};
use tidemill_ownership::Lease;
use tidemill_service::{Breaker, Conditions, Context};
use tidemill_stage::{Checkpoint, Disposition, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{dead_letters::blank, error::Error, intake::take_in::EventIntake, limits::Admission};

/// Messages in work at once.
const CHUNK: usize = 64;
/// Before a busy service is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// A stream that events come by. One replica reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inlet {
    Redrive,
    Measured,
}

impl Inlet {
    pub(crate) const ALL: [Self; 2] = [Self::Redrive, Self::Measured];

    /// Its name among the units of the service, and under which readiness speaks of it.
    const fn name(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Measured => "measured",
        }
    }
}

impl fmt::Display for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A message whose events are taken in.
trait Incoming: Message + Send + Sync + 'static {
    const INLET: Inlet;
    const DURABLE: Durable;

    /// Validates its events and stores them. Done twice, it does the same: each event has
    /// its name.
    fn take_in(
        &self,
        intake: &EventIntake,
        admission: &mut Admission,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why a stream cannot be followed now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Pause {
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    #[error("{0}")]
    NotStored(Error),
}

impl Failure for Pause {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) => error.code(),
            Self::NotStored(error) => error.code(),
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(error) if !error.is_transient() => Disposition::Fail,
            Self::Bus(_) | Self::NotStored(_) => Disposition::Retry,
        }
    }
}

/// Follows a stream for as long as this replica owns it. What is away is waited for.
pub(crate) async fn run(
    intake: Arc<EventIntake>,
    context: Context,
    bus: Bus,
    lease: Lease<Inlet>,
) -> Result<(), Pause> {
    match lease.unit() {
        Inlet::Redrive => follow::<Redrive>(&intake, &context, &bus, &lease).await,
        Inlet::Measured => follow::<MeasuredEvent>(&intake, &context, &bus, &lease).await,
    }
}

async fn follow<M: Incoming>(
    intake: &EventIntake,
    context: &Context,
    bus: &Bus,
    lease: &Lease<Inlet>,
) -> Result<(), Pause> {
    let (stop, name) = (lease.stop().clone(), M::INLET.name());
    let conditions = Conditions::new(&context.health, name);
    let nats = context.breaker("nats");
    let follower = Follower::<M> { intake, context, bus, nats, stop: stop.clone(), message: PhantomData };
    let ended = supervise(follower, lease.unit(), &stop, &conditions).await;
    context.health.withdraw_notice(name);
    ended
}

struct Follower<'f, M> {
    intake: &'f EventIntake,
    context: &'f Context,
    bus: &'f Bus,
    nats: Breaker,
    stop: CancellationToken,
    message: PhantomData<M>,
}

impl<M: Incoming> Work for Follower<'_, M> {
    type Error = Pause;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Pause> {
        let stop = self.stop.clone();
        let opened = stop.run_until_cancelled(self.nats.call(self.bus.subscribe(M::DURABLE))).await;
        let Some(opened) = opened else { return Ok(()) };
        let mut messages = opened?;
        progress.opened();
        consume(&mut messages, &mut &*self, &stop, progress).await
    }

    /// While the dead letters' stream is full, messages are taken in all the
    /// same: only a person makes room there.
    fn is_condition(&self, error: &Pause) -> bool {
        !matches!(error, Pause::NotStored(Error::DeadLettersFull))
    }

    fn failed(&mut self, error: &Pause) {
        let (code, inlet) = (error.code().as_str(), M::INLET.name());
        tracing::warn!(code, inlet, %error, "events cannot be taken in from a stream now; trying again");
        if !self.is_condition(error) {
            self.context.health.notice(M::INLET.name(), error.to_string());
        }
    }
}

impl<M: Incoming> Steps for &Follower<'_, M> {
    type Message = M;
    type Error = Pause;
    type Event = Infallible;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// A message that cannot be read is kept with its reason: it holds an event.
    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Pause> {
        let (sequence, inlet) = (delivery.sequence, M::INLET.name());
        tracing::error!(sequence, inlet, %error, "a message with events cannot be read");
        let id = format!("ingestion-{}-{}", M::STREAM, delivery.sequence);
        let letter = DeadLetter {
            code: error.code().as_str().into(),
            reason: error.to_string(),
            stream: Some(M::STREAM.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            ..blank(self.context, id)
        };
        match self.nats.call(self.bus.publish(&letter.about(delivery.payload()))).await {
            Err(tidemill_bus::Error::Full { .. }) => Err(Pause::NotStored(Error::DeadLettersFull)),
            stored => Ok(stored.map(|_| ())?),
        }
    }

    /// Messages are settled side by side, and each is acknowledged by itself: one
    /// may stand for a million events.
    async fn apply(&mut self, read: Vec<Read<M>>, applied: &mut Vec<Delivery>) -> Result<(), Pause> {
        let this = *self;
        let mut messages = Vec::with_capacity(read.len());
        for Read { delivery, message } in read {
            match message {
                Some(message) => messages.push((delivery, message)),
                None => applied.push(delivery),
            }
        }
        let mut settled =
            stream::iter(messages).map(|(delivery, message)| this.settle(delivery, message)).buffer_unordered(CHUNK);
        let mut result = Ok(());
        while let Some(one) = settled.next().await {
            result = result.and(one);
        }
        if result.is_ok() {
            this.context.health.withdraw_notice(M::INLET.name());
        }
        result
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Pause>, Pause> {
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Pause> {
        Ok(())
    }

    async fn event(&mut self) -> Infallible {
        std::future::pending().await
    }

    async fn handle(&mut self, event: Infallible) -> Result<(), Pause> {
        match event {}
    }
}

impl<M: Incoming> Follower<'_, M> {
    /// A place among the HTTP requests in work; `None` where it is to stop.
    async fn place(&self) -> Option<Admission> {
        loop {
            if let Ok(place) = self.intake.limits.admit() {
                return Some(place);
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// The recipe for one message: validate its events, store them, acknowledge.
    async fn settle(&self, delivery: Delivery, message: M) -> Result<(), Pause> {
        // The log is kept open for as long as a place is held. Without one the
        // message goes to the next owner.
        let Some(mut admission) = self.place().await else { return Ok(()) };
        message.take_in(self.intake, &mut admission).await.map_err(Pause::NotStored)?;
        Ok(delivery.ack().await?)
    }
}
