//! Dead letters that are sent again: each is an order in a stream, and its
//! event is judged, stored and answered for like one that was posted.
//!
//! One replica reads the orders. Each is acknowledged when its event is in the
//! log, or among the dead letters once more; one that comes again after a crash
//! has the same id, and is a duplicate.

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::{Bus, Delivery};
use tidemill_events::{Body, DeadLetter, Durable, Message, Redrive};
use tidemill_ownership::Lease;
use tidemill_service::Context;
use tokio::time::sleep;

use crate::{dead_letters::blank, error::Error, http::Intake, judge::Judged, limits::Admission};

/// Before a letter that failed again is tried to be kept once more, while their
/// stream is full: only a person makes room there.
const FULL_PAUSE: Duration = Duration::from_secs(5);
/// Orders in work at once.
const CHUNK: usize = 64;
/// Before a stream is opened again, and before a busy service is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of events from which on they are stored, before the rest is judged.
const PIECE: usize = 1 << 20;
/// Events that are judged before others have their turn.
const BREATH: usize = 64;
/// Events of one order. No letter stands for more, unless a person made it so.
const MOST_EVENTS: u64 = 1_000_000;
/// Under which name readiness speaks of it.
const NAME: &str = "redrive";

/// The stream of orders, which one replica reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Orders;

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

/// Why the orders cannot be followed now.
#[derive(Debug, thiserror::Error)]
enum Pause {
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    #[error("{0}")]
    NotStored(Error),
}

/// Follows the orders for as long as this replica owns them. What is away is
/// waited for.
pub(crate) async fn run(
    intake: Arc<Intake>,
    context: Context,
    bus: Bus,
    lease: Lease<Orders>,
) -> Result<(), tidemill_bus::Error> {
    let nats = context.breaker("nats");
    let stop = lease.stop().clone();
    let ended = loop {
        let attempt = tokio::select! {
            attempt = nats.attempt() => attempt,
            () = stop.cancelled() => break Ok(()),
        };
        let followed = match bus.subscribe(Durable::IngestionRedrive).await {
            Ok(mut orders) => {
                attempt.succeeded();
                context.health.ready(NAME);
                let follower = Follower { intake: &intake, context: &context, bus: &bus, lease: &lease };
                follower.follow(&mut orders).await
            }
            Err(error) => {
                if error.is_transient() {
                    attempt.failed(&error);
                }
                Err(error.into())
            }
        };
        let mut wait = PAUSE;
        match followed {
            Ok(()) => break Ok(()),
            Err(Pause::Bus(error)) if !error.is_transient() => break Err(error),
            Err(pause) => {
                tracing::warn!(%pause, "dead letters cannot be sent again now; trying again");
                match pause {
                    // Requests are taken in all the same.
                    Pause::NotStored(Error::DeadLettersFull) => {
                        context.health.notice(NAME, pause.to_string());
                        wait = FULL_PAUSE;
                    }
                    Pause::NotStored(_) => context.health.unready(NAME, pause.to_string()),
                    Pause::Bus(error) => {
                        context.health.unready(NAME, error.to_string());
                        nats.trip(error);
                    }
                }
            }
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => break Ok(()),
        }
    };
    context.health.forget(NAME);
    context.health.withdraw_notice(NAME);
    ended
}

/// The bodies of an order. A list that cannot be read, or that would never end,
/// is judged as it stands, and fails as one event.
fn bodies(order: &Redrive) -> Vec<Body> {
    let count = |bodies: &[Body]| bodies.iter().fold(0, |sum: u64, body| sum.saturating_add(body.count));
    match order.bodies() {
        Ok(bodies) if count(&bodies) <= MOST_EVENTS => bodies,
        _ => vec![Body { count: 1, bytes: order.body.clone() }],
    }
}

struct Follower<'f> {
    intake: &'f Arc<Intake>,
    context: &'f Context,
    bus: &'f Bus,
    lease: &'f Lease<Orders>,
}

impl Follower<'_> {
    async fn follow(&self, orders: &mut tidemill_bus::Subscription) -> Result<(), Pause> {
        loop {
            let chunk = tokio::select! {
                chunk = orders.next_chunk(CHUNK) => chunk?,
                () = self.lease.stop().cancelled() => return Ok(()),
            };
            let mut settled = stream::iter(chunk).map(|delivery| self.settle(delivery)).buffer_unordered(CHUNK);
            let mut result = Ok(());
            while let Some(one) = settled.next().await {
                result = result.and(one);
            }
            result?;
            self.context.health.withdraw_notice(NAME);
        }
    }

    /// A place among the requests in work; `None` where it is to stop.
    async fn place(&self) -> Option<Admission> {
        loop {
            if let Ok(place) = self.intake.limits.admit() {
                return Some(place);
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.lease.stop().cancelled() => return None,
            }
        }
    }

    /// The recipe for one order: judge its event, store it, acknowledge.
    async fn settle(&self, delivery: Delivery) -> Result<(), Pause> {
        let order = match delivery.decode::<Redrive>() {
            Ok(order) => order,
            Err(error) => return self.give_up(&delivery, &error).await,
        };
        // The log is kept open for as long as a place is held. Without one the
        // order goes to the next owner.
        let Some(mut admission) = self.place().await else { return Ok(()) };
        self.send_again(&order, &mut admission).await.map_err(Pause::NotStored)?;
        Ok(delivery.ack().await?)
    }

    /// Judges the events of an order and stores them, a piece at a time. Done
    /// twice, it does the same: each has its name.
    async fn send_again(&self, order: &Redrive, admission: &mut Admission) -> Result<(), Error> {
        let Intake { judge, dead_letters, telemetry, .. } = &**self.intake;
        let mut judged = Judged::default();
        let bodies = bodies(order);
        let events = bodies.iter().flat_map(|body| (0..body.count).map(|_| &body.bytes));
        for (index, body) in events.enumerate() {
            judge.judge_again(order, index, body, &mut judged, admission)?;
            if judged.parts.bytes() >= PIECE {
                self.store(order, &mut judged).await?;
                admission.give_back();
            } else if index % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.store(order, &mut judged).await?;
        dead_letters.store_again(&judged.rejected, order).await?;
        telemetry.redriven(order, judged.accepted.len(), judged.rejected.total());
        Ok(())
    }

    async fn store(&self, order: &Redrive, judged: &mut Judged) -> Result<(), Error> {
        judged.parts.redriven(order.letter);
        self.intake.log.store(std::mem::take(&mut judged.parts)).await
    }

    /// An order that cannot be read is kept with its reason: it holds an event.
    async fn give_up(&self, delivery: &Delivery, error: &tidemill_bus::Error) -> Result<(), Pause> {
        tracing::error!(sequence = delivery.sequence, %error, "an order to send a dead letter again cannot be read");
        let id = format!("ingestion-{}-{}", Redrive::STREAM, delivery.sequence);
        let letter = DeadLetter {
            code: "malformed_message".into(),
            reason: error.to_string(),
            stream: Some(Redrive::STREAM.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            body: delivery.payload(),
            ..blank(self.context, id)
        };
        match self.bus.publish(&letter).await {
            Err(tidemill_bus::Error::Full { .. }) => return Err(Pause::NotStored(Error::DeadLettersFull)),
            stored => stored?,
        };
        Ok(delivery.terminate().await?)
    }
}
