//! Group commit, with few batches in flight.
//!
//! The server syncs the batches of all partitions to disk one after the other. One
//! that was sent early would only stand in the server's line, where nothing more
//! goes into it. So a batch is gathered when its turn to be sent has come: at once
//! where nothing is in flight, and else with all that has arrived for its partition
//! by then. Batches grow with the load, and nobody waits for company.

use std::{convert::Infallible, sync::Arc};

use tidemill_bus::Bus;
use tidemill_domain::Partition;
use tidemill_events::RawBatch;
use tidemill_service::Context;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::part::{BatchPart, FULL_HEADER};
use crate::{
    retry::ShortBackoff,
    telemetry::{Telemetry, batch_span},
};

/// A batch is never larger than this.
const MAX_BATCH: usize = 256 << 10;
/// Bytes of the header that names its sources, at most: NATS takes 64 KiB of
/// headers.
const MAX_HEADER: usize = 48 << 10;

/// A part that waits for its place in the log. Whoever gave it up has dropped
/// the receiver.
pub(super) struct PendingPart {
    pub(super) part: BatchPart,
    pub(super) stored: oneshot::Sender<Result<(), ()>>,
}

/// Writes the batches of one partition.
pub(super) struct Batcher {
    pub(super) partition: Partition,
    pub(super) queue: mpsc::Receiver<PendingPart>,
    /// A part that did not fit the batch before.
    pub(super) left_over: Option<PendingPart>,
    pub(super) batch_bytes: usize,
    /// A place among the batches in flight, in the order in which partitions asked.
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) context: Context,
    pub(super) bus: Bus,
    pub(super) telemetry: Arc<Telemetry>,
}

/// Parts on their way together.
#[derive(Default)]
struct GroupCommit {
    part: BatchPart,
    waiting: Vec<oneshot::Sender<Result<(), ()>>>,
}

impl GroupCommit {
    fn add(&mut self, mut pending: PendingPart) {
        // Its request is answered 503 already: to write it all the same would
        // only make its retry a duplicate.
        if !pending.stored.is_closed() {
            self.part.append(&mut pending.part);
            self.waiting.push(pending.stored);
        }
    }

    fn has_room_for(&self, pending: &PendingPart) -> bool {
        self.part.text.len() + pending.part.text.len() <= MAX_BATCH
            && self.part.header + pending.part.header <= MAX_HEADER
    }

    fn settle(self, result: Result<(), ()>) {
        for stored in self.waiting {
            // Nobody listens where a request has been given up.
            let _ = stored.send(result);
        }
    }

    fn is_given_up(&self) -> bool {
        self.waiting.iter().all(oneshot::Sender::is_closed)
    }
}

impl Batcher {
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let first = match self.left_over.take() {
                Some(part) => Some(part),
                None => tokio::select! {
                    part = self.queue.recv() => part,
                    () = stop.cancelled() => None,
                },
            };
            let Some(first) = first else { return Ok(()) };
            let turn = self.turn().await;
            let batch = self.gather(first);
            if !batch.waiting.is_empty() {
                self.publish(batch, turn).await;
            }
        }
    }

    /// Waits for a place among the batches in flight. Nobody closes the semaphore.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.in_flight.clone().acquire_owned().await.ok()
    }

    /// What has arrived, up to a full batch.
    fn gather(&mut self, first: PendingPart) -> GroupCommit {
        let mut batch = GroupCommit::default();
        batch.add(first);
        while batch.part.text.len() < self.batch_bytes && batch.part.header < FULL_HEADER {
            match self.queue.try_recv() {
                Ok(part) if batch.has_room_for(&part) => batch.add(part),
                Ok(part) => {
                    self.left_over = Some(part);
                    break;
                }
                Err(_) => break,
            }
        }
        batch
    }

    /// Publishes until the server has the batch, or nobody waits for it. While it
    /// waits to try again, it is not in flight.
    async fn publish(&self, mut batch: GroupCommit, mut turn: Option<OwnedSemaphorePermit>) {
        let span = batch_span(self.partition, &batch.part.traces, batch.part.sources.values().sum());
        let part = std::mem::take(&mut batch.part);
        let message = RawBatch {
            redriven: part.redriven,
            batch_id: self.context.new_id(),
            partition: self.partition,
            ingested_at: self.context.clock.now(),
            sources: part.sources,
            lines: part.text.into(),
            trace: tidemill_service::trace::traceparent_of(&span),
        };
        let started = Instant::now();
        let mut backoff = ShortBackoff::new();
        loop {
            let error = match self.bus.publish(&message).instrument(span.clone()).await {
                Ok(_) => break,
                Err(error) => error,
            };
            self.telemetry.publish_failed(&error);
            let full = matches!(error, tidemill_bus::Error::Full { .. });
            if full || !error.is_transient() || batch.is_given_up() {
                return batch.settle(Err(()));
            }
            drop(turn);
            backoff.wait().await;
            turn = self.turn().await;
        }
        drop(turn);
        self.telemetry.published(&message, started.elapsed());
        batch.settle(Ok(()));
    }
}

#[cfg(test)]
mod tests;
