//! What a batch does.

use std::time::Duration;

use bytes::Bytes;
use tidemill_bus::Delivery;
use tidemill_events::{DeadLetter, RawBatch};
use tidemill_stage::{Checkpoint, DeadLetters, Failure, Read, Steps};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    backfill,
    batch::{ParsedBatch, UnreadableLine},
    error::Error,
    partition::OpenPartition,
};

/// Batches that are worked on before they are checkpointed and acknowledged together.
const BATCHES_PER_CHECKPOINT: usize = 64;
/// How often a partition is checkpointed at most, unless that many came sooner. What a
/// crash leaves out is done again, the same.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether a reader misses batches.
const REQUESTS_INTERVAL: Duration = Duration::from_secs(2);

/// A partition in work. After an error its state has seen more than was done,
/// and is of no more use.
pub(super) struct EnrichSteps<'c> {
    partition: OpenPartition,
    dead_letters: &'c DeadLetters,
    stop: &'c CancellationToken,
    /// When to look whether a reader misses batches.
    look_at: Instant,
    /// When the last checkpoint was written.
    checkpointed_at: Instant,
}

/// It is time to look whether a reader misses batches.
pub(super) struct LookForRequests;

impl<'c> EnrichSteps<'c> {
    pub(super) fn new(partition: OpenPartition, dead_letters: &'c DeadLetters, stop: &'c CancellationToken) -> Self {
        Self {
            partition,
            dead_letters,
            stop,
            look_at: Instant::now() + REQUESTS_INTERVAL,
            checkpointed_at: Instant::now(),
        }
    }

    /// Parses, marks, settles, joins and publishes one batch.
    async fn enrich(&mut self, raw_seq: u64, raw: &RawBatch) -> Result<(), Error> {
        let (batch, unreadable) = ParsedBatch::parse(raw_seq, raw, &self.partition.resources.shop);
        let dead = unreadable.len() as u64;
        self.dead_letters.admit(batch.len() as u64 + dead, dead)?;
        for line in unreadable {
            self.set_line_aside(raw_seq, raw, &line).await?;
        }
        let batch = self.partition.mark(batch).await?;
        let claims: Vec<_> = batch.claims().collect();
        let mut orders = self.partition.settle(&batch).await?;
        let batch = batch.settled(std::mem::take(&mut orders.changes));
        self.partition.publish_next(raw_seq, &batch).await?;
        self.partition.orders.commit(raw_seq, raw.ingested_at, orders);
        self.partition.claim(claims);
        Ok(())
    }

    /// Sets a line aside that is no event, before the rest goes on.
    async fn set_line_aside(&self, raw_seq: u64, raw: &RawBatch, line: &UnreadableLine<'_>) -> Result<(), Error> {
        let UnreadableLine { index, text, error } = line;
        let name = format!("{raw_seq}-{index}");
        let letter = DeadLetter {
            source: line.source(raw),
            first_failed_at: raw.ingested_at,
            ..self.dead_letters.letter(&name, error.code(), error.to_string(), raw_seq)
        };
        self.set_aside(&letter.about(Bytes::copy_from_slice(text)), error).await
    }

    async fn set_aside(&self, letter: &DeadLetter, error: &Error) -> Result<(), Error> {
        self.dead_letters.store(letter).await?;
        self.partition.resources.telemetry.dead_letter(error.code());
        Ok(())
    }
}

impl Steps for EnrichSteps<'_> {
    type Message = RawBatch;
    type Error = Error;
    type Event = LookForRequests;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        BATCHES_PER_CHECKPOINT.saturating_sub(applied)
    }

    /// What is published reaches its readers without it.
    fn waits_until(&self) -> Option<Instant> {
        Some(self.checkpointed_at + CHECKPOINT_INTERVAL)
    }

    fn is_done(&self, sequence: u64) -> bool {
        let is_done = sequence <= self.partition.floor;
        if is_done {
            self.partition.resources.telemetry.redelivered();
        }
        is_done
    }

    /// A message that is no batch does not count as anybody's predecessor.
    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        let error = Error::from(error);
        self.dead_letters.admit(1, 1)?;
        let name = format!("{}-batch", delivery.sequence);
        let letter = self.dead_letters.letter_of(&name, delivery, error.code(), error.to_string());
        self.set_aside(&letter, &error).await
    }

    async fn apply(&mut self, messages: Vec<Read<RawBatch>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        for Read { delivery, message } in messages {
            if let Some(batch) = message {
                self.enrich(delivery.sequence, &batch).await?;
            }
            applied.push(delivery);
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        self.partition.checkpoint().await?;
        self.checkpointed_at = Instant::now();
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        self.partition.report();
        Ok(())
    }

    async fn event(&mut self) -> LookForRequests {
        sleep_until(self.look_at).await;
        LookForRequests
    }

    async fn handle(&mut self, _: LookForRequests) -> Result<(), Error> {
        self.look_at = Instant::now() + REQUESTS_INTERVAL;
        backfill::answer(&mut self.partition, self.stop).await
    }
}
