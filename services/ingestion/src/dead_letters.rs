//! Rejected events, kept with their reason.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tidemill_bus::Bus;
use tidemill_domain::{EventId, SourceName};
use tidemill_events::{DeadLetter, Redrive, TraceParent};
use tidemill_service::Context;
use tokio::time::{sleep, timeout};

use crate::{
    batcher::{FIRST_RETRY, LAST_RETRY},
    error::Error,
    telemetry::Telemetry,
};

/// Letters of one request that are written at once.
const AT_ONCE: usize = 64;
/// Bytes of a body that a letter keeps.
const MAX_BODY: usize = 64 << 10;
/// The source of an event that names none.
pub(crate) const UNKNOWN_SOURCE: &str = "unknown";

/// An event that is not taken in.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) error: Error,
    pub(crate) claim: Claim,
    /// As it was received.
    pub(crate) body: Bytes,
}

/// What a rejected event says of itself, as far as that can be read.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) id: Option<EventId>,
    pub(crate) source: Option<SourceName>,
    pub(crate) trace: Option<TraceParent>,
}

/// The way into the dead-letter stream.
pub(crate) struct DeadLetters {
    context: Context,
    bus: Bus,
    deadline: Duration,
}

impl DeadLetters {
    pub(crate) fn new(context: &Context, bus: &Bus, deadline: Duration) -> Self {
        Self { context: context.clone(), bus: bus.clone(), deadline }
    }

    /// Waits until every letter is stored; each may take as long as the
    /// deadline says.
    ///
    /// By then the request's accepted events are in the log. Where a letter
    /// cannot be stored, its stream being full or away, the request is
    /// answered 503 all the same, and the sender repeats it: the accepted
    /// events are duplicates then, which is harmless, and no rejection is
    /// lost.
    pub(crate) async fn store(&self, rejected: &[Rejected], telemetry: &Telemetry) -> Result<(), Error> {
        let letters: Vec<_> = rejected.iter().map(|rejected| self.store_one(rejected, telemetry)).collect();
        stream::iter(letters).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn store_one(&self, rejected: &Rejected, telemetry: &Telemetry) -> Result<(), Error> {
        self.publish(self.letter(rejected), &rejected.error, telemetry).await
    }

    /// Stores the letter of a dead letter's event that has failed again. A
    /// repetition of it is the same letter.
    pub(crate) async fn store_again(
        &self,
        rejected: &Rejected,
        order: &Redrive,
        telemetry: &Telemetry,
    ) -> Result<(), Error> {
        let letter = self.letter(rejected);
        let (id, redriven_from) = (format!("redrive-{}", order.id), Some(order.letter));
        self.publish(DeadLetter { id, redriven_from, ..letter }, &rejected.error, telemetry).await
    }

    /// Publishes a letter, and again until the server has it; its name lets
    /// the server drop a copy. One that is full says so at once.
    async fn publish(&self, letter: DeadLetter, why: &Error, telemetry: &Telemetry) -> Result<(), Error> {
        let attempts = async {
            let mut wait = FIRST_RETRY;
            loop {
                let Err(error) = self.bus.publish(&letter).await else { return Ok(()) };
                telemetry.publish_failed(&error);
                if matches!(error, tidemill_bus::Error::Full { .. }) || !error.is_transient() {
                    return Err(Error::LogUnavailable);
                }
                sleep(wait).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
        };
        timeout(self.deadline, attempts).await.unwrap_or(Err(Error::LogUnavailable))?;
        telemetry.dead_lettered(why);
        Ok(())
    }

    fn letter(&self, rejected: &Rejected) -> DeadLetter {
        let Rejected { error, claim, body, .. } = rejected;
        DeadLetter {
            id: self.context.new_id().to_string(),
            service: self.context.service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: error.code().into(),
            reason: error.to_string(),
            pointer: error.pointer().map(str::to_owned),
            stream: None,
            sequence: None,
            deliveries: 1,
            first_failed_at: self.context.clock.now(),
            source: claim.source.as_ref().map_or(UNKNOWN_SOURCE, SourceName::as_str).into(),
            event_id: claim.id.as_ref().map(|id| id.as_str().into()),
            redriven_from: None,
            trace: claim.trace,
            body: body.slice(..body.len().min(MAX_BODY)),
        }
    }
}
