//! Batches that are made once more.
//!
//! `ENRICHED` is not synced to disk and not kept for long, while `RAW` is both:
//! a crash of the machine can take its end away, and a reader that was away for
//! too long finds its place gone. What is missing is made again from `RAW`, the
//! same as it was: which events were duplicates is kept with every batch within
//! the horizon, and worked out anew from the log beyond it; what was done to orders
//! is kept for longer than the log.

use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, RawBatch, StreamName};
use tidemill_store::answered;
use tokio_util::sync::CancellationToken;

use crate::{
    batch::{BatchPlace, ParsedBatch},
    duplicates::{Duplicates, Marks, SealedKeys, Sightings},
    error::Error,
    partition::OpenPartition,
    resources::Resources,
};

/// The reason of batches that are made again because the end of `ENRICHED` was
/// lost: no request has it.
const LOST_END: u64 = 0;

/// Publishes again what was done and is not in `ENRICHED`: behind its last batch,
/// or, where it is empty, as far back as it keeps batches.
pub(crate) async fn make_up(partition: &mut OpenPartition, stop: &CancellationToken) -> Result<(), Error> {
    let after = match partition.published {
        Some(published) => published,
        None => last_before(partition, oldest_kept(&partition.resources)).await?,
    };
    if after < partition.floor {
        backfill(partition, stop, after, LOST_END).await?;
    }
    Ok(())
}

async fn last_before(partition: &OpenPartition, time: Timestamp) -> Result<u64, Error> {
    let Resources { store, store_breaker, .. } = &*partition.resources;
    Ok(store_breaker.call(answered(store.last_before(partition.partition, time))).await?)
}

/// What is older than this has left `ENRICHED` by age.
fn oldest_kept(resources: &Resources) -> Timestamp {
    let age = i64::try_from(StreamName::Enriched.max_age().as_millis()).unwrap_or(i64::MAX);
    resources.context.clock.now().plus_millis(-age)
}

/// Answers a reader that misses batches, if there is one.
pub(crate) async fn answer(partition: &mut OpenPartition, stop: &CancellationToken) -> Result<(), Error> {
    let bus = partition.resources.bus.clone();
    let Some(request) = bus.asked_again(partition.partition).await? else { return Ok(()) };
    let floor = partition.floor;
    tracing::info!(partition = %partition.partition, after = request.after, floor, "a reader misses batches");
    if request.after >= floor && partition.published.is_some_and(|published| floor < published) {
        // It was published before, and does not come by itself: it is made
        // again when the store has caught up with it.
        return Ok(());
    }
    // What is not done yet comes by itself.
    if request.after < floor && !backfill(partition, stop, request.after, request.revision).await? {
        return Ok(());
    }
    Ok(bus.answered_again(partition.partition, request).await?)
}

/// Publishes every batch behind `after` and up to the floor again, in order,
/// behind the end of `ENRICHED`. Answers whether it came to the end of them:
/// not where the partition is to be given back.
async fn backfill(
    partition: &mut OpenPartition,
    stop: &CancellationToken,
    after: u64,
    reason: u64,
) -> Result<bool, Error> {
    let resources = partition.resources.clone();
    let mut log = LogRange::new(&resources.bus, partition.partition, after + 1, partition.floor);
    let mut rebuilt: Option<Duplicates> = None;
    let mut raw_prev = after;
    while let Some((raw_seq, raw)) = log.next().await? {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let (batch, _) = ParsedBatch::parse(raw_seq, &raw, &resources.shop);
        let batch = match known_marks(partition, raw_seq).await? {
            Some(marks) => {
                rebuilt = None;
                batch.marked(marks)
            }
            None => {
                let memory = match &mut rebuilt {
                    Some(memory) => memory,
                    None => rebuilt.insert(rebuild(&resources, partition.partition, raw_seq - 1).await?),
                };
                let keys = batch.keys();
                batch.mark(memory, &keys, &Sightings::default())
            }
        };
        let kept = partition.kept_changes(raw_seq).await?;
        let changes = batch.changes_again(kept, &resources.geo, resources.currency);
        let batch = batch.settled(changes);
        partition.publish(&batch, BatchPlace { raw_seq, raw_prev, remade: Some(reason) }).await?;
        raw_prev = raw_seq;
    }
    Ok(true)
}

/// The marks of a batch, in memory or in the store.
async fn known_marks(partition: &OpenPartition, raw_seq: u64) -> Result<Option<Marks>, Error> {
    if let Some(marks) = partition.duplicates.marks_of(raw_seq) {
        return Ok(Some(marks));
    }
    let Resources { store, store_breaker, .. } = &*partition.resources;
    Ok(store_breaker.call(answered(store.marks(partition.partition, raw_seq))).await?)
}

/// What was remembered after a batch, worked out from the log. It takes as long
/// as reading the log does, and nothing of it is sealed.
async fn rebuild(resources: &Resources, partition: Partition, up_to: u64) -> Result<Duplicates, Error> {
    tracing::warn!(%partition, up_to, "reading the log from its start to tell duplicates beyond the horizon");
    let mut memory = Duplicates::restore(resources.limits, SealedKeys::default(), []);
    let mut log = LogRange::new(&resources.bus, partition, 1, up_to);
    while let Some((raw_seq, raw)) = log.next().await? {
        let (batch, _) = ParsedBatch::parse(raw_seq, &raw, &resources.shop);
        let keys = batch.keys();
        batch.mark(&mut memory, &keys, &Sightings::default());
        memory.saved();
    }
    Ok(memory)
}

/// The batches of a partition, from one place of the log to another.
struct LogRange<'a> {
    bus: &'a Bus,
    partition: Partition,
    next: u64,
    end: u64,
}

impl<'a> LogRange<'a> {
    fn new(bus: &'a Bus, partition: Partition, next: u64, end: u64) -> Self {
        Self { bus, partition, next, end }
    }

    async fn next(&mut self) -> Result<Option<(u64, RawBatch)>, Error> {
        let subject = Durable::Enrichment(self.partition).filter();
        while self.next <= self.end {
            let Some((raw_seq, batch)) = self.bus.next_at::<RawBatch>(&subject, self.next).await? else { break };
            if raw_seq > self.end {
                break;
            }
            self.next = raw_seq + 1;
            // One that cannot be read is a dead letter since it was first read.
            if let Ok(batch) = batch {
                return Ok(Some((raw_seq, batch)));
            }
        }
        Ok(None)
    }
}
