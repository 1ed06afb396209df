//! The hooks of the stage, for dead letters that are sent again. Each is a
//! request in the stream `REDRIVE`, and its event is validated, stored and
//! answered for like one that was posted.
//!
//! One replica reads the requests. Each is acknowledged when its event is in the
//! log, or among the dead letters once more; one that comes again after a crash
//! has the same id, and is a duplicate.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::{Bus, Delivery};
use tidemill_domain::Code;
use tidemill_events::{Body, DeadLetter, Durable, Message, Redrive};
use tidemill_ownership::Lease;
use tidemill_service::{Breaker, Conditions, Context};
use tidemill_stage::{Checkpoint, Disposition, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::blank,
    error::Error,
    intake::{take_in::EventIntake, validate::ValidatedEvents},
    limits::Admission,
};

/// Requests in work at once.
const CHUNK: usize = 64;
/// Before a busy service is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of events from which on they are stored, before the rest is validated.
const PIECE: usize = 1 << 20;
/// Events that are validated before others have their turn.
const BREATH: usize = 64;
/// Events of one request. No letter stands for more, unless a person made it so.
const MOST_EVENTS: u64 = 1_000_000;
/// Under which name readiness speaks of it.
const NAME: &str = "redrive";

/// The stream of redrive requests, which one replica reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Redrives;

impl fmt::Display for Redrives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// Why the requests cannot be followed now.
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

/// Follows the requests for as long as this replica owns them. What is away is
/// waited for.
pub(crate) async fn run(
    intake: Arc<EventIntake>,
    context: Context,
    bus: Bus,
    lease: Lease<Redrives>,
) -> Result<(), Pause> {
    let (stop, conditions) = (lease.stop().clone(), Conditions::new(&context.health, NAME));
    let nats = context.breaker("nats");
    let follower = RedriveFollower { intake: &intake, context: &context, bus: &bus, nats, stop: stop.clone() };
    let ended = supervise(follower, lease.unit(), &stop, &conditions).await;
    context.health.withdraw_notice(NAME);
    ended
}

/// The bodies of a request. A list that cannot be read, or that would never end,
/// is validated as it stands, and fails as one event.
fn bodies(request: &Redrive) -> Vec<Body> {
    let count = |bodies: &[Body]| bodies.iter().fold(0, |sum: u64, body| sum.saturating_add(body.count));
    match request.bodies() {
        Ok(bodies) if count(&bodies) <= MOST_EVENTS => bodies,
        _ => vec![Body { count: 1, bytes: request.body.clone() }],
    }
}

struct RedriveFollower<'f> {
    intake: &'f Arc<EventIntake>,
    context: &'f Context,
    bus: &'f Bus,
    nats: Breaker,
    stop: CancellationToken,
}

impl Work for RedriveFollower<'_> {
    type Error = Pause;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Pause> {
        let stop = self.stop.clone();
        let opened = stop.run_until_cancelled(self.nats.call(self.bus.subscribe(Durable::IngestionRedrive))).await;
        let Some(opened) = opened else { return Ok(()) };
        let mut requests = opened?;
        progress.opened();
        consume(&mut requests, &mut &*self, &stop, progress).await
    }

    /// While the dead letters' stream is full, requests are taken in all the
    /// same: only a person makes room there.
    fn is_condition(&self, error: &Pause) -> bool {
        !matches!(error, Pause::NotStored(Error::DeadLettersFull))
    }

    fn failed(&mut self, error: &Pause) {
        tracing::warn!(code = error.code().as_str(), %error, "dead letters cannot be sent again now; trying again");
        if !self.is_condition(error) {
            self.context.health.notice(NAME, error.to_string());
        }
    }
}

impl Steps for &RedriveFollower<'_> {
    type Message = Redrive;
    type Error = Pause;
    type Event = Infallible;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// A request that cannot be read is kept with its reason: it holds an event.
    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Pause> {
        tracing::error!(sequence = delivery.sequence, %error, "a request to send a dead letter again cannot be read");
        let id = format!("ingestion-{}-{}", Redrive::STREAM, delivery.sequence);
        let letter = DeadLetter {
            code: error.code().as_str().into(),
            reason: error.to_string(),
            stream: Some(Redrive::STREAM.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            ..blank(self.context, id)
        };
        match self.nats.call(self.bus.publish(&letter.about(delivery.payload()))).await {
            Err(tidemill_bus::Error::Full { .. }) => Err(Pause::NotStored(Error::DeadLettersFull)),
            stored => Ok(stored.map(|_| ())?),
        }
    }

    /// Requests are settled side by side, and each is acknowledged by itself: one
    /// may stand for a million events.
    async fn apply(&mut self, read: Vec<Read<Redrive>>, applied: &mut Vec<Delivery>) -> Result<(), Pause> {
        let this = *self;
        let mut requests = Vec::with_capacity(read.len());
        for Read { delivery, message } in read {
            match message {
                Some(request) => requests.push((delivery, request)),
                None => applied.push(delivery),
            }
        }
        let mut settled =
            stream::iter(requests).map(|(delivery, request)| this.settle(delivery, request)).buffer_unordered(CHUNK);
        let mut result = Ok(());
        while let Some(one) = settled.next().await {
            result = result.and(one);
        }
        if result.is_ok() {
            this.context.health.withdraw_notice(NAME);
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

impl RedriveFollower<'_> {
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

    /// The recipe for one request: validate its event, store it, acknowledge.
    async fn settle(&self, delivery: Delivery, request: Redrive) -> Result<(), Pause> {
        // The log is kept open for as long as a place is held. Without one the
        // request goes to the next owner.
        let Some(mut admission) = self.place().await else { return Ok(()) };
        self.send_again(&request, &mut admission).await.map_err(Pause::NotStored)?;
        Ok(delivery.ack().await?)
    }

    /// Validates the events of a request and stores them, a piece at a time. Done
    /// twice, it does the same: each has its name.
    async fn send_again(&self, request: &Redrive, admission: &mut Admission) -> Result<(), Error> {
        let EventIntake { validator, dead_letters, telemetry, .. } = &**self.intake;
        let mut validated = ValidatedEvents::default();
        let bodies = bodies(request);
        let events = bodies.iter().flat_map(|body| (0..body.count).map(|_| &body.bytes));
        for (index, body) in events.enumerate() {
            validator.validate_again(request, index, body, &mut validated, admission)?;
            if validated.parts.bytes() >= PIECE {
                self.store(request, &mut validated).await?;
                admission.give_back();
            } else if index % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.store(request, &mut validated).await?;
        dead_letters.store_redriven(&validated.rejected, request).await?;
        telemetry.redriven(request, validated.accepted.len(), validated.rejected.total());
        Ok(())
    }

    async fn store(&self, request: &Redrive, validated: &mut ValidatedEvents) -> Result<(), Error> {
        validated.parts.redriven(request.letter);
        self.intake.log.store(std::mem::take(&mut validated.parts)).await
    }
}
