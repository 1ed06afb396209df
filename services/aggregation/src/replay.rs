//! Aggregation for a replay: the same fold as that of the service, over batches that
//! somebody else enriches in the same process, into a store of its own.
//!
//! What changes is told to reporting alone, as the totals of a generation. There are no
//! points, no late batches and no dead letters of a generation.

pub(crate) mod record;
mod rehearsal;
mod sink;

use std::sync::Arc;

use tidemill_bus::{Bus, Stored};
use tidemill_definitions::Metrics;
use tidemill_domain::{GenerationName, Partition, SharedClock, Timestamp};
use tidemill_events::{EnrichedBatch, GenerationInputs, GenerationUpdate, topology};
use tidemill_service::{Breaker, Ceiling, Context, StartError};
use tidemill_stage::StageFailure;

use self::sink::GenerationSink;
use crate::{
    config::Config,
    error::Error,
    stage::{
        flush::{publish_lost, tell},
        owner::{Owner, Taken},
        sink::Sink as _,
    },
    store::Store,
};

pub use self::{
    record::{GenerationProgress, GenerationRecord, WantedState},
    rehearsal::RehearsedTotals,
};

/// The store of a generation's totals.
#[derive(Debug, Clone)]
pub struct GenerationStore {
    store: Store,
}

/// Aggregation of a generation.
pub struct ReplayedAggregation {
    store: Store,
    generation: GenerationName,
    inputs: GenerationInputs,
    metrics: Arc<Metrics>,
    live: Config,
    bus: Bus,
    nats: Breaker,
    clock: SharedClock,
}

/// A partition of it.
pub struct ReplayedTotals {
    owner: Owner,
    sink: GenerationSink,
    store: Store,
    ceiling: Ceiling,
    clock: SharedClock,
    /// See [`ReplayedAggregation::partition`].
    careful_to: u64,
}

/// What became of the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayedOutcomes {
    /// Counted in the metrics.
    pub counted: u64,
    /// Past the allowed lateness.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
}

fn told(error: Error) -> StageFailure {
    StageFailure::of(&error)
}

impl GenerationStore {
    /// Opens it, with its schema up to date.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub async fn open(config: &tidemill_store::Config, context: &Context) -> Result<Self, StageFailure> {
        Ok(Self { store: Store::open(config, context.breaker("store")).await.map_err(told)? })
    }

    /// The generation that it is of; `None` where it is of none yet.
    ///
    /// # Errors
    /// The database is away.
    pub async fn record(&self) -> Result<Option<GenerationRecord>, StageFailure> {
        self.store.generation().await.map_err(told)
    }

    /// Makes it the store of a generation, if it is of none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn begin(&self, record: &GenerationRecord) -> Result<(), StageFailure> {
        self.store.begin_generation(record).await.map_err(told)
    }

    /// Says what its replay is to do, and how fast it may be where that changes.
    ///
    /// # Errors
    /// The database is away.
    pub async fn want(&self, wanted: WantedState, rate: Option<u64>) -> Result<(), StageFailure> {
        self.store.want(wanted, rate).await.map_err(told)
    }

    /// Says how far its replay is.
    ///
    /// # Errors
    /// The database is away.
    pub async fn tell_progress(&self, progress: &GenerationProgress) -> Result<(), StageFailure> {
        self.store.tell_progress(progress).await.map_err(told)
    }

    /// Has partitions begin behind a batch of the log, which came in at `log_time`: those
    /// that have not begun.
    ///
    /// # Errors
    /// The database is away.
    pub async fn begin_behind(
        &self,
        partitions: &[Partition],
        floor: u64,
        log_time: Timestamp,
    ) -> Result<(), StageFailure> {
        for partition in partitions {
            self.store.begin_behind(*partition, floor, log_time).await.map_err(told)?;
        }
        Ok(())
    }
}

impl ReplayedAggregation {
    /// With the settings of the live service: its rules of lateness decide numbers.
    ///
    /// # Errors
    /// A setting or a definition is wrong.
    pub fn new(
        live: &Config,
        store: &GenerationStore,
        record: &GenerationRecord,
        bus: Bus,
        context: &Context,
    ) -> Result<Self, StartError> {
        live.check()?;
        let texts: Vec<_> = record.inputs.definitions.iter().map(|of| (of.file.clone(), of.text.clone())).collect();
        Ok(Self {
            store: store.store.clone(),
            generation: record.name.clone(),
            inputs: record.inputs.clone(),
            metrics: Arc::new(Metrics::of_files(&texts).map_err(StartError::new)?),
            live: live.clone(),
            bus,
            nats: context.breaker("nats"),
            clock: context.clock.clone(),
        })
    }

    /// Takes a partition on as it stands in the store, and publishes again what readers
    /// lack of it. Up to `careful_to` the store has refused something before: each event is
    /// tried out, and those that it refuses are left out.
    ///
    /// # Errors
    /// The store or the log is away.
    pub async fn partition(&self, partition: Partition, careful_to: u64) -> Result<ReplayedTotals, StageFailure> {
        self.open(partition, careful_to).await.map_err(told)
    }

    async fn open(&self, partition: Partition, careful_to: u64) -> Result<ReplayedTotals, Error> {
        let now = self.clock.now();
        let windows = Arc::new(self.live.windows.clone());
        let mut owner = Owner::open(self.store.clone(), self.metrics.clone(), windows, partition, now).await?;
        owner.take_up(None, now).await?;
        let subject = topology::generations(&self.generation, partition);
        let tail: Option<Stored<GenerationUpdate>> = match self.bus.last(&subject).await {
            Err(error @ tidemill_bus::Error::Decode(_)) => return Err(Error::Unreadable(error)),
            tail => tail?,
        };
        let mut sink = GenerationSink {
            bus: self.bus.clone(),
            nats: self.nats.clone(),
            generation: self.generation.clone(),
            tail: tail.as_ref().map_or(0, |tail| tail.sequence),
            unlooked: 0,
        };
        let tail = tail.as_ref().map(|tail| &tail.message.update);
        publish_lost(&mut sink, &self.store, &owner.claim, &owner.position(now), tail).await?;
        // Behind what was lost: a message that says how far the partition is says that
        // everything before it was told.
        sink.publish(owner.position(now), Some(self.inputs.clone())).await?;
        Ok(ReplayedTotals {
            owner,
            sink,
            store: self.store.clone(),
            ceiling: Ceiling::new(self.live.dead_letters),
            clock: self.clock.clone(),
            careful_to,
        })
    }
}

impl ReplayedAggregation {
    /// Takes a partition on for a rehearsal, at a time of the log: nobody is told of its
    /// totals but the caller.
    ///
    /// # Errors
    /// The store is away.
    pub async fn rehearse(&self, partition: Partition, at: Timestamp) -> Result<RehearsedTotals, StageFailure> {
        let windows = Arc::new(self.live.windows.clone());
        let opened = Owner::open(self.store.clone(), self.metrics.clone(), windows, partition, at).await;
        let mut owner = opened.map_err(told)?;
        owner.take_up(None, at).await.map_err(told)?;
        let ceiling = Ceiling::new(self.live.dead_letters);
        Ok(RehearsedTotals::new(owner, self.store.clone(), ceiling))
    }
}

impl ReplayedTotals {
    /// The last batch that is applied.
    pub fn floor(&self) -> u64 {
        self.owner.state.floor
    }

    /// Whether each batch is to be checkpointed by itself.
    pub fn is_careful(&self) -> bool {
        self.floor() < self.careful_to
    }

    /// Applies the next batch; one that was applied before changes nothing. After an error
    /// the partition is of no more use.
    ///
    /// # Errors
    /// The store is away, or too much cannot be read.
    pub async fn take(&mut self, batch: EnrichedBatch) -> Result<ReplayedOutcomes, StageFailure> {
        self.apply(batch).await.map_err(told)
    }

    async fn apply(&mut self, mut batch: EnrichedBatch) -> Result<ReplayedOutcomes, Error> {
        let now = self.clock.now();
        if self.is_careful() && self.owner.is_next(&batch) {
            batch = self.owner.without_refused(&batch, &mut self.ceiling, now).await?;
        }
        match self.owner.take(&batch, &mut self.ceiling, now).await? {
            Taken::Applied(of) => Ok(ReplayedOutcomes { counted: of.counted, late: of.late, duplicate: of.duplicate }),
            Taken::Repeated => Ok(ReplayedOutcomes::default()),
            // Batches come one behind the other: the stores are of two generations.
            Taken::Early => Err(Error::Superseded),
        }
    }

    /// Publishes and stores what was applied since the last checkpoint.
    ///
    /// # Errors
    /// The store or the log is away, or another program has the generation.
    pub async fn checkpoint(&mut self) -> Result<(), StageFailure> {
        let changes = self.owner.take_changes(self.clock.now());
        if changes.floor > changes.after {
            tell(&mut self.sink, &changes).await.map_err(told)?;
            self.store.checkpoint(&changes, &self.owner.claim, &self.owner.pages).await.map_err(told)?;
        }
        self.owner.state.committed(changes.floor);
        Ok(())
    }

    /// Says that nothing has come for a while: a partition whose sources are all silent
    /// holds no window open. Answers whether they are. Everything has to be in the store.
    ///
    /// # Errors
    /// The log is away.
    pub async fn tell_silence(&mut self) -> Result<bool, StageFailure> {
        let position = self.owner.position(self.clock.now());
        let is_idle = position.idle;
        self.sink.totals(position).await.map_err(told)?;
        Ok(is_idle)
    }
}
