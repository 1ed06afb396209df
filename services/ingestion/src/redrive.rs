//! Dead letters that are sent again: each is an order in a stream, and its
//! event is judged, stored and answered for like one that was posted.
//!
//! One replica reads the orders. Each is acknowledged when its event is in the
//! log, or among the dead letters once more; one that comes again after a crash
//! has the same id, and is a duplicate.

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::{Bus, Delivery};
use tidemill_events::{DeadLetter, Durable, Message, Redrive};
use tidemill_ownership::Lease;
use tidemill_service::Context;
use tokio::time::sleep;

use crate::{dead_letters::UNKNOWN_SOURCE, error::Error, http::Intake, limits::Admission};

/// Orders in work at once.
const CHUNK: usize = 64;
/// Before a stream is opened again, and before a busy service is asked again.
const PAUSE: Duration = Duration::from_millis(200);
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
        match followed {
            Ok(()) => break Ok(()),
            Err(Pause::Bus(error)) if !error.is_transient() => break Err(error),
            Err(pause) => {
                tracing::warn!(%pause, "dead letters cannot be sent again now; trying again");
                context.health.unready(NAME, pause.to_string());
                if let Pause::Bus(error) = pause {
                    nats.trip(error);
                }
            }
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = stop.cancelled() => break Ok(()),
        }
    };
    context.health.forget(NAME);
    ended
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
            // The log is kept open for as long as a place is held.
            let Some(_place) = self.place().await else { return Ok(()) };
            let mut settled = stream::iter(chunk).map(|delivery| self.settle(delivery)).buffer_unordered(CHUNK);
            let mut result = Ok(());
            while let Some(one) = settled.next().await {
                result = result.and(one);
            }
            result?;
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
        let mut judged = self.intake.judge.judge_again(&order);
        let Intake { log, dead_letters, telemetry, .. } = &**self.intake;
        log.store(std::mem::take(&mut judged.parts)).await.map_err(Pause::NotStored)?;
        for rejected in &judged.rejected {
            dead_letters.store_again(rejected, &order, telemetry).await.map_err(Pause::NotStored)?;
        }
        telemetry.redriven(&order, judged.rejected.first().map(|rejected| rejected.error.code()));
        Ok(delivery.ack().await?)
    }

    /// An order that cannot be read is kept with its reason: it holds an event.
    async fn give_up(&self, delivery: &Delivery, error: &tidemill_bus::Error) -> Result<(), Pause> {
        tracing::error!(sequence = delivery.sequence, %error, "an order to send a dead letter again cannot be read");
        let letter = DeadLetter {
            id: format!("ingestion-{}-{}", Redrive::STREAM, delivery.sequence),
            service: self.context.service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: "malformed_message".into(),
            reason: error.to_string(),
            pointer: None,
            stream: Some(Redrive::STREAM.to_string()),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            first_failed_at: self.context.clock.now(),
            source: UNKNOWN_SOURCE.into(),
            event_id: None,
            redriven_from: None,
            trace: None,
            body: delivery.payload(),
        };
        self.bus.publish(&letter).await?;
        Ok(delivery.terminate().await?)
    }
}
