//! The way into the log.

use std::{sync::Arc, time::Duration};

use futures::future::try_join_all;
use tidemill_bus::Bus;
use tidemill_domain::{Partition, PartitionCount};
use tidemill_service::Context;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    batcher::{Batcher, PendingPart},
    part::{BatchPart, Parts},
};
use crate::{config::PublishConfig, error::Error, telemetry::Telemetry};

pub(crate) struct LogWriter {
    queues: Vec<mpsc::Sender<PendingPart>>,
    deadline: Duration,
}

impl LogWriter {
    /// Starts a batcher for each partition. They end when `stop` is
    /// cancelled, which is to be after the last request is answered.
    pub(crate) fn start(
        context: &Context,
        bus: &Bus,
        config: &PublishConfig,
        telemetry: &Arc<Telemetry>,
        stop: &CancellationToken,
    ) -> Self {
        let in_flight = Arc::new(Semaphore::new(bus.publishes_at_once()));
        let start = |partition| {
            let (sender, queue) = mpsc::channel(config.queue);
            let batcher = Batcher {
                partition,
                queue,
                left_over: None,
                batch_bytes: config.batch_bytes,
                in_flight: in_flight.clone(),
                context: context.clone(),
                bus: bus.clone(),
                telemetry: telemetry.clone(),
            };
            context.spawn("batcher", batcher.run(stop.clone()));
            sender
        };
        let partitions: PartitionCount = bus.partitions();
        Self { queues: partitions.all().map(start).collect(), deadline: Duration::from_millis(config.deadline_ms) }
    }

    /// Waits until every part is in the log, at most the deadline.
    pub(crate) async fn store(&self, parts: Parts) -> Result<(), Error> {
        let parts = parts.full.into_iter().chain(parts.open);
        let stored = try_join_all(parts.map(|(partition, part)| self.store_part(partition, part)));
        timeout(self.deadline, stored).await.unwrap_or(Err(Error::LogUnavailable)).map(|_| ())
    }

    async fn store_part(&self, partition: Partition, part: BatchPart) -> Result<(), Error> {
        let queue = self.queues.get(usize::from(partition.index())).ok_or(Error::Internal)?;
        let (stored, answer) = oneshot::channel();
        queue.send(PendingPart { part, stored }).await.map_err(|_| Error::LogUnavailable)?;
        answer.await.ok().and_then(Result::ok).ok_or(Error::LogUnavailable)
    }
}
