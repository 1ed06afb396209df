//! What the owner of a partition does with its batches.

use std::{sync::Arc, time::Duration};

use tidemill_bus::Delivery;
use tidemill_events::EnrichedBatch;
use tidemill_stage::{Checkpoint, Gap, LoadPace, Read, Steps};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{
    context::ConsumerContext,
    flush::{keep, tell, write_stale_points},
    owner::{Owner, Taken},
    partition::PartitionReader,
    sink::{InfluxSink, NatsSink, Sink as _},
};
use crate::{error::Error, fold::changes::PartitionChanges};

/// Batches that are applied at once, at most.
const MAX_AT_ONCE: usize = 64;
/// Batches that are applied and not in the store yet, at most.
const MAX_UNSTORED: usize = 128;
/// From one time that readers are told to the next, at least and at most. Each is a message
/// that several read, however few totals it has; a first one does not wait.
const TELL_PACE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(40));
/// From one checkpoint to the next, at least and at most. Each is a synced transaction, and
/// nobody waits for it: a total that was told several times meanwhile is stored once.
const STORE_PACE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));
/// How soon after opening a partition to look whether something is missing.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often to look for points that have to be written again, and to measure
/// the state.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A partition in work: batches are applied, and readers told of what they changed, while
/// what was told before is being checkpointed.
pub(super) struct PartitionTask<'r> {
    reader: &'r mut PartitionReader,
    owner: Owner,
    sink: NatsSink,
    points: Option<Arc<InfluxSink>>,
    gap: Gap,
    /// What readers were told, and no checkpoint has yet.
    told: Vec<PartitionChanges>,
    /// Batches applied since the last checkpoint set out.
    batches: usize,
    /// Batches in the checkpoint that is on its way.
    under_way: usize,
    tell_pace: LoadPace,
    store_pace: LoadPace,
    looked_at: Instant,
    /// When the last batch came.
    heard_at: Instant,
    announced_idle: bool,
    /// When to look why nothing has come.
    silence: Instant,
}

/// A checkpoint that is in the store.
pub(super) struct LandedCheckpoint {
    floor: u64,
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
            false => MAX_AT_ONCE.min(MAX_UNSTORED.saturating_sub(applied + self.under_way)),
        }
    }

    fn waits_until(&self) -> Option<Instant> {
        Some(self.store_pace.until())
    }

    /// What is applied sooner is not told of sooner.
    fn rests_until(&self) -> Option<Instant> {
        (!self.is_careful()).then(|| self.tell_pace.until())
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

    /// Tells readers of what changed, before it is stored.
    async fn tell(&mut self) -> Result<(), Error> {
        // Nothing but repetitions: there is nothing to tell.
        if !self.owner.has_changed() {
            return Ok(());
        }
        let begun = Instant::now();
        let changes = self.owner.take_changes(self.reader.shared.context.clock.now());
        tell(&mut self.sink, &changes).await?;
        self.told.push(changes);
        self.tell_pace.done(begun);
        self.reader.shared.telemetry.told(begun.elapsed());
        Ok(())
    }

    /// Sends what was told on its way into the store.
    async fn checkpoint(&mut self) -> Result<Checkpoint<LandedCheckpoint, Error>, Error> {
        // Behind an error something may be applied that is not told yet.
        self.tell().await?;
        let (shared, points) = (self.reader.shared.clone(), self.points.clone());
        let (claim, pages, told) = (self.owner.claim, self.owner.pages.clone(), std::mem::take(&mut self.told));
        let (floor, begun) = (self.owner.state.floor, Instant::now());
        self.under_way = std::mem::take(&mut self.batches);
        let has_looked = self.looked_at.elapsed() >= LOOK_EVERY;
        let task = tokio::spawn(async move {
            let ConsumerContext { store, metrics, .. } = &*shared;
            if let Some(told) = PartitionChanges::merged(told) {
                keep(points.as_deref(), store, (&claim, &pages), metrics, &told).await?;
            }
            if has_looked {
                write_stale_points(points.as_deref(), store, &claim, metrics).await?;
            }
            Ok(LandedCheckpoint { floor, begun, has_looked })
        });
        Ok(Checkpoint::UnderWay(AbortOnDropHandle::new(task)))
    }

    fn landed(&mut self, landed: LandedCheckpoint) -> Result<(), Error> {
        let LandedCheckpoint { floor, begun, has_looked } = landed;
        let PartitionReader { partition, shared, .. } = &*self.reader;
        let batches = std::mem::take(&mut self.under_way);
        self.store_pace.done(begun);
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
    pub(super) fn new(
        reader: &'r mut PartitionReader,
        owner: Owner,
        sink: NatsSink,
        points: Option<Arc<InfluxSink>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            gap: Gap::none(reader.partition, reader.shared.gaps.clone()),
            reader,
            owner,
            sink,
            points,
            told: Vec::new(),
            batches: 0,
            under_way: 0,
            tell_pace: LoadPace::new(TELL_PACE.0, TELL_PACE.1),
            store_pace: LoadPace::new(STORE_PACE.0, STORE_PACE.1),
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
        let ConsumerContext { store, metrics, context, .. } = &*self.reader.shared;
        write_stale_points(self.points.as_deref(), store, &self.owner.claim, metrics).await?;
        // A partition that hears nothing says once that it is idle, so that it
        // holds no window open; only once every source has fallen silent is
        // that final.
        if is_silent && !self.announced_idle {
            let position = self.owner.position(context.clock.now());
            self.announced_idle = position.idle;
            self.sink.totals(position).await?;
        }
        Ok(())
    }
}
