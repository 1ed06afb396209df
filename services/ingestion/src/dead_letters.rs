//! Rejected events, kept with their reason.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use tidemill_bus::Bus;
use tidemill_domain::{EventId, SourceName};
use tidemill_events::{DeadLetter, TraceParent};
use tidemill_service::Context;
use tokio::time::timeout;

use crate::{error::Error, telemetry::Telemetry};

/// Letters of one request that are written at once.
const AT_ONCE: usize = 64;
/// Bytes of a body that a letter keeps.
const MAX_BODY: usize = 64 << 10;
/// The source of an event that names none.
const UNKNOWN_SOURCE: &str = "unknown";

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
    pub(crate) async fn store(&self, rejected: &[Rejected], telemetry: &Telemetry) -> Result<(), Error> {
        for some in rejected.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|rejected| self.store_one(rejected, telemetry))).await?;
        }
        Ok(())
    }

    async fn store_one(&self, rejected: &Rejected, telemetry: &Telemetry) -> Result<(), Error> {
        match timeout(self.deadline, self.bus.publish(&self.letter(rejected))).await {
            Ok(Ok(_)) => {
                telemetry.dead_lettered(&rejected.error);
                Ok(())
            }
            Ok(Err(error)) => {
                telemetry.publish_failed(&error);
                Err(Error::LogUnavailable)
            }
            Err(_) => Err(Error::LogUnavailable),
        }
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
            trace: claim.trace,
            body: body.slice(..body.len().min(MAX_BODY)),
        }
    }
}
