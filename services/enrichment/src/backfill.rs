//! Batches that are made once more.
//!
//! `ENRICHED` is not synced to disk and not kept for long, while `RAW` is both:
//! a crash of the machine can take its end away, and a reader that was away for
//! too long finds its place gone. What is missing is made again from `RAW`, the
//! same as it was: which events were duplicates is kept with every batch within
//! the horizon, and worked out anew from the log beyond it.

use std::collections::BTreeMap;

use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, RawBatch, StreamName};

use crate::{
    consumer::{Consumer, Place, Shared, State},
    duplicates::{Duplicates, Key, Limits, Marks},
    enrich,
    error::Error,
};

/// The reason of batches that are made again because the end of `ENRICHED` was
/// lost: no request has it.
const LOST_END: u64 = 0;

/// Publishes again what was done and is not in `ENRICHED`: its end is at
/// `published`, a batch of the log, or it is empty.
pub(crate) async fn make_up(consumer: &Consumer, state: &mut State, published: Option<u64>) -> Result<(), Error> {
    let after = match published {
        Some(published) => published,
        // Nothing is left: all that is not older than `ENRICHED` keeps.
        None => state.duplicates.last_before(oldest_kept(&consumer.shared)),
    };
    if after < state.floor {
        backfill(consumer, state, after, LOST_END).await?;
    }
    Ok(())
}

/// What is older than this has left `ENRICHED` by age.
fn oldest_kept(shared: &Shared) -> Timestamp {
    let age = i64::try_from(StreamName::Enriched.max_age().as_millis()).unwrap_or(i64::MAX);
    shared.context.clock.now().plus_millis(-age)
}

/// Answers a reader that misses batches, if there is one.
pub(crate) async fn answer(consumer: &Consumer, state: &mut State) -> Result<(), Error> {
    let Shared { bus, .. } = &*consumer.shared;
    let Some(request) = bus.asked_again(consumer.partition).await? else { return Ok(()) };
    tracing::info!(partition = %consumer.partition, after = request.after, floor = state.floor, "a reader misses batches");
    if request.after >= state.floor && state.floor < state.published {
        // It was published before, and does not come by itself: it is made
        // again when the store has caught up with it.
        return Ok(());
    }
    // What is not done yet comes by itself.
    if request.after < state.floor && !backfill(consumer, state, request.after, request.revision).await? {
        return Ok(());
    }
    Ok(bus.answered_again(consumer.partition, request).await?)
}

/// Publishes every batch behind `after` and up to the floor again, in order,
/// behind the end of `ENRICHED`. Answers whether it came to the end of them:
/// not where the partition is to be given back.
async fn backfill(consumer: &Consumer, state: &mut State, after: u64, reason: u64) -> Result<bool, Error> {
    let Shared { bus, limits, .. } = &*consumer.shared;
    let mut log = Log { bus, partition: consumer.partition, next: after + 1, end: state.floor };
    let mut known: Option<BTreeMap<u64, Marks>> = None;
    let mut rebuilt: Option<Duplicates> = None;
    let mut raw_prev = after;
    while let Some((raw_seq, raw)) = log.next().await? {
        if consumer.is_stopping() {
            return Ok(false);
        }
        let (lines, _) = enrich::read(&raw.lines);
        let known = known.get_or_insert_with(|| state.duplicates.marks_after(after).collect());
        let marks = match known.get(&raw_seq) {
            Some(marks) => marks.clone(),
            None => {
                let memory = match &mut rebuilt {
                    Some(memory) => memory,
                    None => rebuilt.insert(rebuild(bus, consumer.partition, *limits, after).await?),
                };
                memory.mark(raw_seq, raw.ingested_at, keys(&lines))
            }
        };
        let place = Place { raw_seq, raw_prev, remade: Some(reason) };
        consumer.publish(state, place, &raw, &lines, &marks).await?;
        raw_prev = raw_seq;
    }
    Ok(true)
}

/// What was remembered after a batch, worked out from the log. It takes as long
/// as reading the log does.
async fn rebuild(bus: &Bus, partition: Partition, limits: Limits, up_to: u64) -> Result<Duplicates, Error> {
    tracing::warn!(%partition, up_to, "reading the log from its start to tell duplicates beyond the horizon");
    let mut memory = Duplicates::restore(limits, []);
    let mut log = Log { bus, partition, next: 1, end: up_to };
    while let Some((raw_seq, raw)) = log.next().await? {
        memory.mark(raw_seq, raw.ingested_at, keys(&enrich::read(&raw.lines).0));
        memory.saved();
    }
    Ok(memory)
}

fn keys(lines: &[enrich::Line<'_>]) -> Vec<Key> {
    let mut scratch = Vec::new();
    lines.iter().map(|line| Key::of(&line.event.source, &line.event.id, &mut scratch)).collect()
}

/// The batches of a partition, from one place of the log to another.
struct Log<'a> {
    bus: &'a Bus,
    partition: Partition,
    next: u64,
    end: u64,
}

impl Log<'_> {
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
