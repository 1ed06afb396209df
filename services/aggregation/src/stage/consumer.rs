//! Opens a partition, afresh after a failure, and works on it for as long as
//! this replica has its lease.

use std::sync::Arc;

use tidemill_domain::{Backoff, Partition};
use tidemill_events::Durable;
use tidemill_ownership::Lease;
use tidemill_stage::{Ingested, LogPlace, Progressing, Work, consume, subscribe_in_order, supervise};
use tokio::time::sleep;

use super::{
    context::ConsumerContext,
    flush::publish_lost,
    owner::Owner,
    partition::PartitionReader,
    sink::{InfluxSink, NatsSink},
    task::PartitionTask,
};
use crate::error::Error;

struct PartitionConsumer {
    lease: Lease<Partition>,
    reader: PartitionReader,
}

/// Consumes a partition until it is to be given back.
pub(crate) async fn run(shared: Arc<ConsumerContext>, lease: Lease<Partition>) -> Result<(), Error> {
    let (partition, stop) = (lease.unit(), lease.stop().clone());
    let consumer = PartitionConsumer { lease, reader: PartitionReader::new(partition, shared.clone()) };
    let ended = supervise(consumer, partition, &stop, &shared.conditions).await;
    shared.telemetry.forget(partition);
    ended
}

impl Work for PartitionConsumer {
    type Error = Error;

    /// Opens the partition and works on it until it fails or is to be given
    /// back.
    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let stop = self.lease.stop().clone();
        // Who is paused loses the lease without knowing. Claiming then would
        // only take the partition from its rightful owner.
        while !self.lease.is_held() {
            tokio::select! {
                () = sleep(Backoff::FIRST) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        let (owner, sink) = self.open().await?;
        let PartitionReader { partition, shared, nats, .. } = &self.reader;
        let points = shared.metrics_store.clone().map(|store| InfluxSink {
            store,
            breaker: shared.context.breaker("metrics_store"),
            lease: self.lease.clone(),
            telemetry: shared.telemetry.clone(),
        });
        let durable = Durable::Aggregation(*partition);
        let subscription = subscribe_in_order(&shared.bus, durable, *partition, done(&owner));
        let mut subscription = nats.call(subscription).await?;
        progress.opened();
        let mut task = PartitionTask::new(&mut self.reader, owner, sink, points.map(Arc::new));
        consume(&mut subscription, &mut task, &stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        let PartitionReader { partition, shared, met, careful_to, .. } = &mut self.reader;
        shared.telemetry.failed(*partition, error);
        if error.is_refusal() {
            *careful_to = (*careful_to).max(*met);
        }
    }
}

impl PartitionConsumer {
    /// Claims the partition, and publishes again what METRICS has lost of it.
    async fn open(&self) -> Result<(Owner, NatsSink), Error> {
        let PartitionReader { partition, shared, nats, .. } = &self.reader;
        let now = shared.context.clock.now();
        let (store, metrics, windows) = (shared.store.clone(), shared.metrics.clone(), shared.windows.clone());
        let mut owner = Owner::open(store, metrics, windows, *partition, now).await?;
        // Before anything is published.
        nats.call(done(&owner).compare(&shared.bus)).await?;
        let is_at_end = self.reader.is_at_end(owner.claim.floor).await?;
        owner.take_up(is_at_end.then_some(now), now).await?;
        let tail = self.reader.metrics_tail().await?;
        // Readers keep what reaches further, and so what METRICS has must be of this log.
        let published = LogPlace::at(tail.as_ref().map_or(0, |tail| tail.message.raw_seq));
        nats.call(published.compare(&shared.bus)).await?;
        let mut sink = NatsSink {
            bus: shared.bus.clone(),
            nats: nats.clone(),
            telemetry: shared.telemetry.clone(),
            tail: tail.as_ref().map_or(0, |tail| tail.sequence),
        };
        let tail = tail.as_ref().map(|tail| &tail.message);
        publish_lost(&mut sink, &shared.store, &owner.claim, &owner.position(now), tail).await?;
        Ok((owner, sink))
    }
}

/// The last batch of the log that the partition has counted.
fn done(owner: &Owner) -> LogPlace {
    LogPlace { raw_seq: owner.claim.floor, ingested: Ingested::at(owner.claim.log_time) }
}
