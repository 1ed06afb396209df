//! What the owner of a partition does with its batches.

use std::time::Duration;

use tidemill_bus::Delivery;
use tidemill_events::EnrichedBatch;
use tidemill_stage::{Checkpoint, Gap, LoadPace, Read, Steps};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{
    context::ConsumerContext,
    flush::{flush, write_stale_points},
    owner::{Owner, Taken},
    partition::PartitionReader,
    sink::{NatsSink, Sink as _},
};
use crate::error::Error;

/// Batches that are applied, and in no snapshot yet, at most.
const MAX_WAITING: usize = 64;
/// From one checkpoint to the next, at least and at most. Each is a synced transaction
/// and a message, however few totals it has; a first one does not wait.
const PACE: (Duration, Duration) = (Duration::from_millis(15), Duration::from_millis(40));
/// How soon after opening a partition to look whether something is missing.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often to look for points that have to be written again, and to measure
/// the state.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A partition in work: batches are applied while what changed before them is
/// being published and checkpointed.
pub(super) struct PartitionTask<'r> {
    reader: &'r mut PartitionReader,
    owner: Owner,
    /// Here or with the checkpoint, so that no two are ever on their way.
    sink: Option<Box<NatsSink>>,
    gap: Gap,
    /// Batches applied since the last checkpoint.
    batches: usize,
    /// That of checkpoints, as long as more batches may come into one.
    pace: LoadPace,
    looked_at: Instant,
    /// When the last batch came.
    heard_at: Instant,
    announced_idle: bool,
    /// When to look why nothing has come.
    silence: Instant,
}

/// A checkpoint that is in the store.
pub(super) struct LandedCheckpoint {
    sink: Box<NatsSink>,
    floor: u64,
    batches: usize,
    begun: Instant,
    has_looked: bool,
}

/// Nothing has come for a while, and nothing is on its way.
pub(super) struct Silence;

impl Steps for PartitionTask<'_> {
    type Message = EnrichedBatch;
    type Error = Error;
    type Event = Silence;
    type Landed = LandedCheckpoint;

    fn room(&self, applied: usize, is_under_way: bool) -> usize {
        match self.is_careful() {
            // One at a time, with everything before it in the store.
            true => usize::from(applied == 0 && !is_under_way),
            false => MAX_WAITING.saturating_sub(applied),
        }
    }

    fn waits_until(&self) -> Option<Instant> {
        Some(self.pace.until())
    }

    /// What is applied sooner is not told of sooner. While a checkpoint is on its way,
    /// there is time for it.
    fn rests_until(&self) -> Option<Instant> {
        (!self.is_careful()).then(|| self.pace.until())
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// Enrichment alone writes batches, so one that cannot be read is of another
    /// release, or a fault of ours: the partition waits, and nothing is lost.
    async fn unreadable(&mut self, _: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        Err(Error::Unreadable(error))
    }

    /// Applies batches in the order of the log. What is passed over because one
    /// before it is missing will come again behind that one.
    async fn apply(&mut self, read: Vec<Read<EnrichedBatch>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        (self.heard_at, self.announced_idle) = (Instant::now(), false);
        if read.len() == MAX_WAITING {
            self.pace.hurry();
        }
        let mut early = Vec::new();
        for Read { delivery, message } in read {
            let Some(batch) = message else { continue };
            match self.take(batch).await? {
                Taken::Applied(outcomes) => {
                    self.reader.shared.telemetry.counted(outcomes);
                    self.gap.close();
                    self.batches += 1;
                    applied.push(delivery);
                }
                // Of a batch that is applied and in no checkpoint yet, this may be a
                // second copy: it is acknowledged behind the same checkpoint.
                Taken::Repeated => applied.push(delivery),
                Taken::Early => early.push(delivery),
            }
        }
        if !early.is_empty() {
            self.reader.ask_for_missing(&mut self.gap, self.owner.state.floor).await?;
            applied.append(&mut early);
        }
        self.silence = Instant::now() + self.reader.idle_after();
        Ok(())
    }

    /// Sends what changed on its way.
    async fn checkpoint(&mut self) -> Result<Checkpoint<LandedCheckpoint, Error>, Error> {
        // It is with the checkpoint under way, and there is none.
        let Some(mut sink) = self.sink.take() else { return Err(Error::Superseded) };
        let shared = self.reader.shared.clone();
        let changes = self.owner.take_changes(shared.context.clock.now());
        let (claim, pages) = (self.owner.claim, self.owner.pages.clone());
        let (floor, batches, begun) = (changes.floor, std::mem::take(&mut self.batches), Instant::now());
        let has_looked = self.looked_at.elapsed() >= LOOK_EVERY;
        let task = tokio::spawn(async move {
            let ConsumerContext { store, metrics, .. } = &*shared;
            // Nothing but repetitions: there is nothing to checkpoint.
            if changes.floor > changes.after {
                flush(&mut *sink, store, (&claim, &pages), metrics, &changes).await?;
            }
            if has_looked {
                write_stale_points(&mut *sink, store, &claim, metrics).await?;
            }
            Ok(LandedCheckpoint { sink, floor, batches, begun, has_looked })
        });
        Ok(Checkpoint::UnderWay(AbortOnDropHandle::new(task)))
    }

    fn landed(&mut self, landed: LandedCheckpoint) -> Result<(), Error> {
        let LandedCheckpoint { sink, floor, batches, begun, has_looked } = landed;
        let PartitionReader { partition, shared, .. } = &*self.reader;
        self.sink = Some(sink);
        self.pace.done(begun);
        self.owner.state.committed(floor);
        shared.telemetry.checkpointed(*partition, floor, batches, begun.elapsed());
        if has_looked {
            shared.telemetry.size(*partition, self.owner.state.size());
            self.looked_at = Instant::now();
        }
        self.silence = Instant::now() + self.reader.idle_after();
        Ok(())
    }

    async fn event(&mut self) -> Silence {
        sleep_until(self.silence).await;
        Silence
    }

    async fn handle(&mut self, _: Silence) -> Result<(), Error> {
        self.look_around().await?;
        self.silence = Instant::now() + self.reader.idle_after();
        Ok(())
    }
}

impl<'r> PartitionTask<'r> {
    pub(super) fn new(reader: &'r mut PartitionReader, owner: Owner, sink: Box<NatsSink>) -> Self {
        let now = Instant::now();
        Self {
            gap: Gap::none(reader.partition, reader.shared.gaps.clone()),
            reader,
            owner,
            sink: Some(sink),
            batches: 0,
            pace: LoadPace::new(PACE.0, PACE.1),
            looked_at: now - LOOK_EVERY,
            heard_at: now,
            announced_idle: false,
            silence: now + FIRST_LOOK,
        }
    }

    fn is_careful(&self) -> bool {
        self.owner.state.floor < self.reader.careful_to
    }

    /// Applies a batch, if it is the next one of the log.
    async fn take(&mut self, mut batch: EnrichedBatch) -> Result<Taken, Error> {
        let now = self.reader.shared.context.clock.now();
        self.reader.met = self.reader.met.max(batch.raw_seq);
        if self.is_careful() && self.owner.is_next(&batch) {
            batch = self.owner.without_refused(&batch, &mut self.reader.ceiling, now).await?;
        }
        let taken = self.owner.take(&batch, &mut self.reader.ceiling, now).await?;
        if taken != Taken::Early || self.owner.state.floor > 0 || self.reader.log_has(batch.raw_prev).await? {
            return Ok(taken);
        }
        self.owner.start_behind(batch.raw_prev);
        self.owner.take(&batch, &mut self.reader.ceiling, now).await
    }

    async fn look_around(&mut self) -> Result<(), Error> {
        match self.reader.is_cut_off(self.owner.state.floor).await? {
            true => self.reader.ask_for_missing(&mut self.gap, self.owner.state.floor).await?,
            // It has come by another way than it was asked for.
            false => self.gap.close(),
        }
        let is_silent = self.heard_at.elapsed() >= self.reader.idle_after();
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let ConsumerContext { store, metrics, context, .. } = &*self.reader.shared;
        write_stale_points(&mut **sink, store, &self.owner.claim, metrics).await?;
        // A partition that hears nothing says once that it is idle, so that it
        // holds no window open; only once every source has fallen silent is
        // that final.
        if is_silent && !self.announced_idle {
            let position = self.owner.position(context.clock.now());
            self.announced_idle = position.idle;
            sink.totals(&position).await?;
        }
        Ok(())
    }
}
