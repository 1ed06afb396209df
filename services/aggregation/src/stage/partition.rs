//! A partition as a consumer reads it: its streams, and how far they were met.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Bus, Stored};
use tidemill_domain::Partition;
use tidemill_events::{Durable, EnrichedBatch, MetricsUpdate, RawBatch, topology};
use tidemill_service::{Breaker, Ceiling};
use tidemill_stage::Gap;

use super::context::ConsumerContext;
use crate::error::Error;

/// It stays when the partition is opened afresh.
pub(super) struct PartitionReader {
    pub(super) partition: Partition,
    pub(super) shared: Arc<ConsumerContext>,
    pub(super) nats: Breaker,
    pub(super) ceiling: Ceiling,
    /// The last batch that was looked at.
    pub(super) met: u64,
    /// The store has refused something in the batches up to this one: they are
    /// taken one by one, and each is tried out before anybody is told of it.
    pub(super) careful_to: u64,
}

impl PartitionReader {
    pub(super) fn new(partition: Partition, shared: Arc<ConsumerContext>) -> Self {
        Self {
            partition,
            nats: shared.context.breaker("nats"),
            ceiling: Ceiling::new(shared.ceiling),
            shared,
            met: 0,
            careful_to: 0,
        }
    }

    fn bus(&self) -> &Bus {
        &self.shared.bus
    }

    pub(super) fn idle_after(&self) -> Duration {
        Duration::from_secs(self.shared.windows.idle_after_seconds.into())
    }

    /// The last message of the partition in `METRICS`.
    pub(super) async fn metrics_tail(&self) -> Result<Option<Stored<MetricsUpdate>>, Error> {
        readable(self.nats.call(self.bus().last(&topology::metrics(self.partition))).await)
    }

    /// Whether the log has nothing of the partition behind the floor.
    pub(super) async fn is_at_end(&self, floor: u64) -> Result<bool, Error> {
        let last: Option<Stored<RawBatch>> =
            readable(self.nats.call(self.bus().last(&topology::raw(self.partition))).await)?;
        Ok(last.is_none_or(|last| last.sequence <= floor))
    }

    /// Whether the log still has a batch. With nothing applied, the first batch
    /// that comes is the start, unless enrichment can make the one before it.
    pub(super) async fn log_has(&self, raw_seq: u64) -> Result<bool, Error> {
        Ok(self.nats.call(self.bus().message_at::<RawBatch>(raw_seq)).await?.is_some())
    }

    /// Asks enrichment for everything behind the floor.
    pub(super) async fn ask_for_missing(&self, gap: &mut Gap, floor: u64) -> Result<(), Error> {
        if gap.ask(self.bus(), &self.nats, floor).await? {
            self.shared.telemetry.asked_again(self.partition, floor);
        }
        Ok(())
    }

    /// Whether `ENRICHED` ends behind the floor while nothing is left to be
    /// delivered: what was passed over, or lies where the consumer, after a
    /// crash of the server, believes to have been already.
    pub(super) async fn is_cut_off(&self, floor: u64) -> Result<bool, Error> {
        let end: Option<Stored<EnrichedBatch>> =
            readable(self.nats.call(self.bus().last(&topology::enriched(self.partition))).await)?;
        let lag = self.nats.call(self.bus().lag(Durable::Aggregation(self.partition))).await?;
        Ok(lag == 0 && end.is_some_and(|end| end.message.raw_seq > floor))
    }
}

/// The partition waits for a release that can read the last message of its
/// stream: it stands and is named, and all others go on.
fn readable<T>(read: Result<T, tidemill_bus::Error>) -> Result<T, Error> {
    read.map_err(|error| match error {
        tidemill_bus::Error::Decode(_) => Error::Unreadable(error),
        other => other.into(),
    })
}
