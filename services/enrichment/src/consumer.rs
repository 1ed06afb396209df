//! One partition of `RAW`, in order, into `ENRICHED`.
//!
//! What a batch becomes is a function of the log up to it and of the reference
//! data. It is published, then kept together with the partition's floor, then
//! acknowledged; so a process that dies in between does the same again, under
//! the same message id. One that was paused and wakes up after another has
//! taken over is refused twice: by NATS, which takes a batch only behind the
//! one before it, and by the store, where the floor has moved.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery};
use tidemill_domain::Partition;
use tidemill_events::{DeadLetter, Durable, EnrichedBatch, RawBatch, StreamName, topology};
use tidemill_ownership::Lease;
use tidemill_service::{Breaker, CeilingConfig, Conditions, Context};
use tidemill_stage::{Checkpoint, DeadLetters, Failure, Progressing, Read, Steps, Work, consume, supervise};
use tidemill_store::answered;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    backfill,
    duplicates::{Duplicates, Key, Limits, Marks},
    enrich::{self, Line},
    error::Error,
    geo::Geo,
    reference::Reference,
    store::{Step, Store},
    telemetry::{Metrics, Spans},
};

/// Batches that are worked on before they are kept and acknowledged together.
const BATCHES_PER_STEP: usize = 64;
/// How often it is looked whether a reader misses batches.
const REQUESTS_INTERVAL: Duration = Duration::from_secs(2);

/// What all partitions share.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) store: Arc<Store>,
    pub(crate) reference: Arc<Reference>,
    pub(crate) geo: Geo,
    pub(crate) limits: Limits,
    pub(crate) ceiling: CeilingConfig,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) context: Context,
    pub(crate) nats: Breaker,
    pub(crate) store_breaker: Breaker,
    pub(crate) conditions: Conditions<Partition>,
}

/// Where a partition stands.
pub(crate) struct State {
    /// The last batch that is done.
    pub(crate) floor: u64,
    /// The floor in the store.
    kept: u64,
    /// The last batch in `ENRICHED` when the partition was opened.
    pub(crate) published: u64,
    /// The sequence in `ENRICHED` of the last batch there.
    tail: u64,
    pub(crate) duplicates: Duplicates,
}

impl State {
    /// The batch before this one, for who reads `ENRICHED`. Should the store
    /// be younger than the log, what is published still leads there.
    fn predecessor(&self, raw_seq: u64) -> u64 {
        if raw_seq > self.published { self.floor.max(self.published) } else { self.floor }
    }
}

/// The consumer of one partition, for as long as it is this replica's.
pub(crate) struct Consumer {
    pub(crate) partition: Partition,
    pub(crate) shared: Arc<Shared>,
    stop: CancellationToken,
    dead_letters: DeadLetters,
}

/// Enriches a partition until it is to be given back.
pub(crate) async fn run(lease: Lease<Partition>, shared: Arc<Shared>) -> Result<(), Error> {
    let Shared { context, bus, metrics, conditions, ceiling, .. } = &*shared;
    let (partition, stop) = (lease.unit(), lease.stop().clone());
    let dead_letters = DeadLetters::new(context, bus, StreamName::Raw, *ceiling);
    let consumer = Consumer { partition, shared: shared.clone(), stop, dead_letters };
    conditions.set(partition, "it is being opened");
    let ended = supervise(consumer, partition, lease.stop(), conditions).await;
    metrics.forget(partition);
    ended
}

impl Work for Consumer {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let consumer = &*self;
        let Shared { bus, nats, .. } = &*consumer.shared;
        let opened = async {
            let mut state = consumer.open().await?;
            backfill::answer(consumer, &mut state).await?;
            // The store says where to go on. A backup that it was restored from
            // is older than what the server takes for done.
            let open = bus.subscribe_behind(Durable::Enrichment(consumer.partition), state.floor);
            Ok::<_, Error>((state, nats.call(open).await?))
        };
        let Some(opened) = consumer.stop.run_until_cancelled(opened).await else { return Ok(()) };
        let (state, mut subscription) = opened?;
        progress.opened();
        let mut partition = PartitionTask { consumer, state, look_at: Instant::now() + REQUESTS_INTERVAL };
        consume(&mut subscription, &mut partition, &consumer.stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(partition = %self.partition, %error, code = error.code(), "partition stopped; opening it afresh");
        self.shared.metrics.retry(error.code());
    }
}

/// A partition in work. After an error its state has seen more than was done,
/// and is of no more use.
struct PartitionTask<'c> {
    consumer: &'c Consumer,
    state: State,
    /// When to look whether a reader misses batches.
    look_at: Instant,
}

/// It is time to look whether a reader misses batches.
struct LookForRequests;

impl Steps for PartitionTask<'_> {
    type Message = RawBatch;
    type Error = Error;
    type Event = LookForRequests;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        BATCHES_PER_STEP.saturating_sub(applied)
    }

    fn is_done(&self, sequence: u64) -> bool {
        let is_done = sequence <= self.state.floor;
        if is_done {
            self.consumer.shared.metrics.redelivered();
        }
        is_done
    }

    /// A message that is no batch does not count as anybody's predecessor.
    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        let Consumer { dead_letters, .. } = self.consumer;
        let error = Error::from(error);
        dead_letters.admit(1, 1)?;
        let name = format!("{}-batch", delivery.sequence);
        let letter = dead_letters.letter_of(&name, delivery, error.code(), error.to_string());
        self.consumer.give_up(&letter, &error).await
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

    /// Keeps the batches since the last time, and the floor with them.
    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        let Self { consumer, state, .. } = self;
        let Consumer { partition, shared, .. } = consumer;
        if state.floor > state.kept {
            let prune_below = state.duplicates.prunable();
            let batches = state.duplicates.unsaved(state.floor).collect();
            let step = Step { partition: *partition, from: state.kept, to: state.floor, batches, prune_below };
            shared.store_breaker.call(answered(shared.store.keep(&step))).await?;
            state.kept = state.floor;
            state.duplicates.saved();
        }
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        let Self { consumer, state, .. } = self;
        let dropped = state.duplicates.take_dropped();
        let (keys, span) = (state.duplicates.len(), state.duplicates.span_millis());
        consumer.shared.metrics.remembered(consumer.partition, keys, span, dropped);
        Ok(())
    }

    async fn event(&mut self) -> LookForRequests {
        sleep_until(self.look_at).await;
        LookForRequests
    }

    async fn handle(&mut self, _: LookForRequests) -> Result<(), Error> {
        self.look_at = Instant::now() + REQUESTS_INTERVAL;
        backfill::answer(self.consumer, &mut self.state).await
    }
}

impl PartitionTask<'_> {
    /// Marks, joins and publishes one batch.
    async fn enrich(&mut self, raw_seq: u64, raw: &RawBatch) -> Result<(), Error> {
        let Self { consumer, state, .. } = self;
        let (lines, dead) = enrich::read(&raw.lines);
        consumer.dead_letters.admit((lines.len() + dead.len()) as u64, dead.len() as u64)?;
        consumer.give_up_lines(raw_seq, raw, dead).await?;
        let mut scratch = Vec::new();
        let keys = lines.iter().map(|line| Key::of(&line.event.source, &line.event.id, &mut scratch)).collect();
        let marks = state.duplicates.mark(raw_seq, raw.ingested_at, keys);
        // Up to there it was published before it could be kept, or the store
        // was restored from a backup: only what is remembered is made again.
        if raw_seq > state.published {
            let place = Place { raw_seq, raw_prev: state.predecessor(raw_seq), remade: None };
            consumer.publish(state, place, raw, &lines, &marks).await?;
        }
        state.floor = raw_seq;
        Ok(())
    }
}

impl Consumer {
    /// Whether the partition is to be given back.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Joins a batch whose duplicates are known, and publishes it.
    pub(crate) async fn publish(
        &self,
        state: &mut State,
        place: Place,
        raw: &RawBatch,
        lines: &[Line<'_>],
        marks: &Marks,
    ) -> Result<(), Error> {
        let Shared { bus, nats, reference, geo, metrics, .. } = &*self.shared;
        let Place { raw_seq, raw_prev, remade } = place;
        let spans = Spans::open(lines.iter().map(|line| &line.event), lines.len(), raw_seq, raw.trace);
        let (products, customers) = enrich::ids(lines);
        let snapshot = reference.snapshot(products, customers).await?;
        let (written, tally) = enrich::write(lines, marks, &snapshot, geo)?;
        let batch = EnrichedBatch {
            partition: self.partition,
            raw_seq,
            raw_prev,
            remade,
            ingested_at: raw.ingested_at,
            refdata: snapshot.version(),
            count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            lines: Bytes::from(written),
            trace: spans.traceparent(),
        };
        // `ENRICHED` is not synced to disk, so a crash may take its last
        // batches while this process lives on. Then this one is refused, rather
        // than leave a gap behind it, and opening the partition afresh makes
        // the lost ones again.
        let stored = nats.call(bus.publish_after(&batch, state.tail)).await?;
        state.tail = state.tail.max(stored.sequence);
        match remade {
            None => metrics.batch(&tally),
            Some(_) => metrics.remade(),
        }
        Ok(())
    }

    /// Reads where the partition stands, and compares it with the log at both
    /// ends.
    async fn open(&self) -> Result<State, Error> {
        let Shared { bus, nats, store, store_breaker, limits, .. } = &*self.shared;
        let partition = self.partition;
        let floor = store_breaker.call(answered(store.floor(partition))).await?;
        let end = match nats.call(bus.last::<RawBatch>(&Durable::Enrichment(partition).filter())).await {
            Ok(last) => last.map(|stored| stored.sequence),
            // It will be set aside when it is read.
            Err(tidemill_bus::Error::Decode(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = end.filter(|end| *end < floor) {
            return Err(Error::ForeignLog { partition, floor, end });
        }
        let last =
            nats.call(bus.last::<EnrichedBatch>(&topology::enriched(partition))).await.map_err(
                |error| match error {
                    tidemill_bus::Error::Decode(error) => Error::UnreadableEnd { partition, error },
                    other => other.into(),
                },
            )?;
        let published = last.as_ref().map(|stored| stored.message.raw_seq);
        let mut state = State {
            floor,
            kept: floor,
            published: published.unwrap_or(0),
            tail: last.map_or(0, |stored| stored.sequence),
            duplicates: Duplicates::restore(*limits, store_breaker.call(answered(store.batches(partition))).await?),
        };
        backfill::make_up(self, &mut state, published).await?;
        Ok(state)
    }

    /// Sets lines aside that are no events, before the rest goes on.
    async fn give_up_lines(&self, raw_seq: u64, raw: &RawBatch, dead: Vec<enrich::Dead<'_>>) -> Result<(), Error> {
        for enrich::Dead { index, text, error } in dead {
            let name = format!("{raw_seq}-{index}");
            let letter = DeadLetter {
                source: enrich::source_of(text, raw.sources.keys()),
                first_failed_at: raw.ingested_at,
                ..self.dead_letters.letter(&name, error.code(), error.to_string(), raw_seq)
            };
            self.give_up(&letter.about(Bytes::copy_from_slice(text)), &error).await?;
        }
        Ok(())
    }

    async fn give_up(&self, letter: &DeadLetter, error: &Error) -> Result<(), Error> {
        self.dead_letters.store(letter).await?;
        self.shared.metrics.dead_letter(error.code());
        Ok(())
    }
}

/// Where a batch has its place in the log, and in `ENRICHED`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) raw_seq: u64,
    /// The batch before it in the partition.
    pub(crate) raw_prev: u64,
    /// For a batch that was published before: why it is once more. The server
    /// takes the same reason for the same message.
    pub(crate) remade: Option<u64>,
}
