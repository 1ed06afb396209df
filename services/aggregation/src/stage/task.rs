//! One partition's consumer: enriched batches in, totals out.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Bus, Delivery};
use tidemill_definitions::Metrics;
use tidemill_domain::{Backoff, Partition};
use tidemill_events::{Durable, EnrichedBatch, MetricsUpdate, RawBatch, topology};
use tidemill_metrics_store::MetricsStore;
use tidemill_ownership::Lease;
use tidemill_service::{Breaker, Ceiling, CeilingConfig, Conditions, Context};
use tidemill_stage::{Checkpoint, Gap, Progressing, Read, Steps, Work, consume, supervise};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::Windows,
    error::Error,
    flush::{Sink, flush, publish_lost, write_stale_points},
    owner::{Owner, Taken},
    sink::NatsSink,
    store::Store,
    telemetry::Telemetry,
};

/// Batches that are applied, and in no snapshot yet, at most.
const MAX_WAITING: usize = 64;
/// How soon after opening a partition to look whether something is missing.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often to look for points that have to be written again, and to measure
/// the state.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the consumers of one process share.
pub(crate) struct Shared {
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics_store: MetricsStore,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) windows: Arc<Windows>,
    pub(crate) ceiling: CeilingConfig,
    pub(crate) telemetry: Telemetry,
    /// Why partitions cannot go on.
    pub(crate) conditions: Conditions<Partition>,
    /// Which of them miss batches.
    pub(crate) gaps: Conditions<Partition>,
}

/// Reads one partition of `ENRICHED` in order, for as long as it has the lease.
pub(crate) struct PartitionConsumer {
    partition: Partition,
    lease: Lease<Partition>,
    shared: Arc<Shared>,
    nats: Breaker,
    ceiling: Ceiling,
    /// The last batch that was looked at.
    met: u64,
    /// The store has refused something in the batches up to this one: they are
    /// taken one by one, and each is tried out before anybody is told of it.
    careful_to: u64,
}

/// Consumes a partition until it is to be given back.
pub(crate) async fn run(shared: Arc<Shared>, lease: Lease<Partition>) -> Result<(), Error> {
    let (partition, stop) = (lease.unit(), lease.stop().clone());
    let consumer = PartitionConsumer {
        partition,
        lease,
        nats: shared.context.breaker("nats"),
        ceiling: Ceiling::new(shared.ceiling),
        shared: shared.clone(),
        met: 0,
        careful_to: 0,
    };
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
        let bus = self.shared.bus.clone();
        let (owner, sink) = self.open().await?;
        let mut subscription = self.nats.call(bus.subscribe(Durable::Aggregation(self.partition))).await?;
        progress.opened();
        let mut open = PartitionTask::new(self, owner, sink);
        consume(&mut subscription, &mut open, &stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        self.shared.telemetry.failed(self.partition, error);
        if error.is_refusal() {
            self.careful_to = self.careful_to.max(self.met);
        }
    }
}

impl PartitionConsumer {
    /// Claims the partition, and publishes again what METRICS has lost of it.
    async fn open(&self) -> Result<(Owner, Box<NatsSink>), Error> {
        let Self { partition, lease, shared, nats, .. } = self;
        let now = shared.context.clock.now();
        let (store, metrics, windows) = (shared.store.clone(), shared.metrics.clone(), shared.windows.clone());
        let owner = Owner::open(store, metrics, windows, *partition, now).await?;
        let tail = readable(nats.call(shared.bus.last::<MetricsUpdate>(&topology::metrics(*partition))).await)?;
        let mut sink = NatsSink {
            bus: shared.bus.clone(),
            nats: nats.clone(),
            metrics_store: shared.metrics_store.clone(),
            metrics_breaker: shared.context.breaker("metrics_store"),
            lease: lease.clone(),
            telemetry: shared.telemetry.clone(),
            tail: tail.as_ref().map_or(0, |tail| tail.sequence),
        };
        let tail = tail.as_ref().map(|tail| &tail.message);
        publish_lost(&mut sink, &shared.store, &owner.claim, &owner.position(now), tail).await?;
        Ok((owner, Box::new(sink)))
    }
}

/// A partition in work: batches are applied while what changed before them is
/// being published and kept.
struct PartitionTask<'c> {
    consumer: &'c mut PartitionConsumer,
    owner: Owner,
    /// Here or with the checkpoint: so no two are ever on their way.
    sink: Option<Box<NatsSink>>,
    gap: Gap,
    /// Batches applied since the last checkpoint.
    batches: usize,
    looked_at: Instant,
    /// When the last batch came.
    heard_at: Instant,
    announced_idle: bool,
    /// When it has been quiet for so long that it is looked why.
    silence: Instant,
}

/// A checkpoint that is in the store.
struct LandedCheckpoint {
    sink: Box<NatsSink>,
    floor: u64,
    batches: usize,
    begun: Instant,
    has_looked: bool,
}

/// Nothing has come for a while, and nothing is on its way.
struct Silence;

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
                    self.consumer.shared.telemetry.counted(outcomes);
                    self.gap.close();
                    self.batches += 1;
                    applied.push(delivery);
                }
                // Of a batch that is applied and not kept yet, this may be a
                // second copy: it is acknowledged behind the same checkpoint.
                Taken::Repeated => applied.push(delivery),
                Taken::Early => early.push(delivery),
            }
        }
        if !early.is_empty() {
            self.ask_for_missing().await?;
            applied.append(&mut early);
        }
        self.silence = Instant::now() + self.idle_after();
        Ok(())
    }

    /// Sends what changed on its way.
    async fn checkpoint(&mut self) -> Result<Checkpoint<LandedCheckpoint, Error>, Error> {
        // It is with the checkpoint under way, and there is none.
        let Some(mut sink) = self.sink.take() else { return Err(Error::Superseded) };
        let shared = self.consumer.shared.clone();
        let changes = self.owner.take_changes(shared.context.clock.now());
        let claim = self.owner.claim;
        let (floor, batches, begun) = (changes.floor, std::mem::take(&mut self.batches), Instant::now());
        let has_looked = self.looked_at.elapsed() >= LOOK_EVERY;
        let task = tokio::spawn(async move {
            let Shared { store, metrics, .. } = &*shared;
            // Nothing but repetitions: there is nothing to keep.
            if changes.floor > changes.after {
                flush(&mut *sink, store, &claim, metrics, &changes).await?;
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
        let PartitionConsumer { partition, shared, .. } = &*self.consumer;
        self.sink = Some(sink);
        self.owner.state.committed(floor);
        shared.telemetry.kept(*partition, floor, batches, begun.elapsed());
        if has_looked {
            shared.telemetry.size(*partition, self.owner.state.size());
            self.looked_at = Instant::now();
        }
        self.silence = Instant::now() + self.idle_after();
        Ok(())
    }

    async fn event(&mut self) -> Silence {
        sleep_until(self.silence).await;
        Silence
    }

    async fn handle(&mut self, _: Silence) -> Result<(), Error> {
        self.look_around().await?;
        self.silence = Instant::now() + self.idle_after();
        Ok(())
    }
}

impl<'c> PartitionTask<'c> {
    fn new(consumer: &'c mut PartitionConsumer, owner: Owner, sink: Box<NatsSink>) -> Self {
        let now = Instant::now();
        Self {
            gap: Gap::none(consumer.partition, consumer.shared.gaps.clone()),
            consumer,
            owner,
            sink: Some(sink),
            batches: 0,
            looked_at: now - LOOK_EVERY,
            heard_at: now,
            announced_idle: false,
            silence: now + FIRST_LOOK,
        }
    }

    fn is_careful(&self) -> bool {
        self.owner.state.floor < self.consumer.careful_to
    }

    /// Applies a batch, if it is the next one of the log.
    async fn take(&mut self, mut batch: EnrichedBatch) -> Result<Taken, Error> {
        let now = self.consumer.shared.context.clock.now();
        self.consumer.met = self.consumer.met.max(batch.raw_seq);
        if self.is_careful() && self.owner.is_next(&batch) {
            batch = self.owner.without_refused(&batch, &mut self.consumer.ceiling, now).await?;
        }
        let taken = self.owner.take(&batch, &mut self.consumer.ceiling, now).await?;
        if taken != Taken::Early || self.owner.state.floor > 0 || self.log_has(batch.raw_prev).await? {
            return Ok(taken);
        }
        self.owner.start_behind(batch.raw_prev);
        self.owner.take(&batch, &mut self.consumer.ceiling, now).await
    }

    /// Whether the log still has a batch. With nothing applied, the first batch
    /// that comes is the start, unless enrichment can make the one before it.
    async fn log_has(&self, raw_seq: u64) -> Result<bool, Error> {
        let PartitionConsumer { shared, nats, .. } = &*self.consumer;
        Ok(nats.call(shared.bus.message_at::<RawBatch>(raw_seq)).await?.is_some())
    }

    /// Asks enrichment for everything behind the floor.
    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        let PartitionConsumer { partition, shared, nats, .. } = &*self.consumer;
        let floor = self.owner.state.floor;
        if self.gap.ask(&shared.bus, nats, floor).await? {
            shared.telemetry.asked_again(*partition, floor);
        }
        Ok(())
    }

    async fn look_around(&mut self) -> Result<(), Error> {
        match self.is_cut_off().await? {
            true => self.ask_for_missing().await?,
            // It has come by another way than it was asked for.
            false => self.gap.close(),
        }
        let is_silent = self.heard_at.elapsed() >= self.idle_after();
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let Shared { store, metrics, context, .. } = &*self.consumer.shared;
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

    /// Whether `ENRICHED` ends behind the floor while nothing is left to be
    /// delivered: what was passed over, or lies where the consumer, after a
    /// crash of the server, believes to have been already.
    async fn is_cut_off(&self) -> Result<bool, Error> {
        let PartitionConsumer { partition, shared, nats, .. } = &*self.consumer;
        let end = readable(nats.call(shared.bus.last::<EnrichedBatch>(&topology::enriched(*partition))).await)?;
        let lag = nats.call(shared.bus.lag(Durable::Aggregation(*partition))).await?;
        Ok(lag == 0 && end.is_some_and(|end| end.message.raw_seq > self.owner.state.floor))
    }

    fn idle_after(&self) -> Duration {
        Duration::from_secs(self.consumer.shared.windows.idle_after_seconds.into())
    }
}

/// A stream whose last message is of another release, or of nobody, is waited
/// for: the partition stands and is named, and all others go on.
fn readable<T>(read: Result<T, tidemill_bus::Error>) -> Result<T, Error> {
    read.map_err(|error| match error {
        tidemill_bus::Error::Decode(_) => Error::Unreadable(error),
        other => other.into(),
    })
}
