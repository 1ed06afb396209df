//! One partition of `RAW`, in order, into `ENRICHED`.
//!
//! What a batch becomes is a function of the log up to it and of the reference
//! data. It is published, then kept together with the partition's floor, then
//! acknowledged; so a process that dies in between does the same again, under
//! the same message id. One that was paused and wakes up after another has
//! taken over is refused twice: by NATS, which takes a batch only behind the
//! one before it, and by the store, where the floor has moved.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery, Progress, ack_all};
use tidemill_domain::{Backoff, Partition, Timestamp};
use tidemill_events::{
    DeadLetter, DecodeError, Durable, Encoded, EnrichedBatch, Events, HeaderSource, Message, RawBatch, StreamName,
    topology,
};
use tidemill_ownership::{Lease, Owned};
use tidemill_service::{Attempt, Ceiling, CeilingConfig, Conditions, Context, Standstill};
use tidemill_store::answered;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    again,
    duplicates::{Duplicates, Key, Limits, Marks},
    enrich::{self, Line},
    error::{Disposition, Error},
    geo::Geo,
    reference::Reference,
    store::{Step, Store},
    telemetry::{Metrics, Spans},
};

/// Batches that are worked on before they are kept and acknowledged together.
const BATCHES_PER_STEP: usize = 64;
/// How often it is looked whether a reader misses batches.
const REQUESTS_INTERVAL: Duration = Duration::from_secs(2);
/// What a dead letter keeps of its body.
const DEAD_LETTER_BYTES: usize = 256 * 1024;

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

/// The consumer of one partition.
pub(crate) struct Consumer {
    pub(crate) partition: Partition,
    pub(crate) shared: Arc<Shared>,
    stop: CancellationToken,
    /// Outlives a fresh opening, or a halted consumer would go on bit by bit.
    ceiling: Mutex<Ceiling>,
}

impl Consumer {
    pub(crate) fn new(lease: &Lease<Partition>, shared: Arc<Shared>) -> Self {
        let ceiling = Mutex::new(Ceiling::new(shared.ceiling));
        Self { partition: lease.unit(), stop: lease.stop().clone(), shared, ceiling }
    }

    /// Works for as long as the partition is this replica's. After an error
    /// that may pass, it is opened afresh.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let Shared { context, conditions, metrics, .. } = &*self.shared;
        conditions.set(self.partition, "it is being opened");
        let mut backoff = Backoff::new();
        let result = loop {
            let Err(error) = self.work(&mut backoff).await else { break Ok(()) };
            if error.disposition() != Disposition::Retry {
                break Err(error);
            }
            tracing::warn!(partition = %self.partition, %error, code = error.code(), "partition stopped; opening it afresh");
            metrics.retry(error.code());
            conditions.set(self.partition, error.to_string());
            match &error {
                Error::Store(error) => context.breaker("store").trip(error),
                Error::Bus(error) if error.is_outage() => context.breaker("nats").trip(error),
                _ => {}
            }
            tokio::select! {
                () = sleep(backoff.failed()) => {}
                () = self.stop.cancelled() => break Ok(()),
            }
        };
        conditions.clear(&self.partition);
        metrics.forget(self.partition);
        result
    }

    async fn work(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let Shared { bus, context, conditions, .. } = &*self.shared;
        let opened = async {
            let attempts = [context.breaker("store").attempt().await, context.breaker("nats").attempt().await];
            let mut state = self.open().await?;
            again::answer(self, &mut state).await?;
            // The store says where to go on. A backup that it was restored from
            // is older than what the server takes for done.
            let subscription = bus.subscribe_behind(Durable::Enrichment(self.partition), state.floor).await?;
            attempts.into_iter().for_each(Attempt::succeeded);
            Ok::<_, Error>((state, subscription))
        };
        let (mut state, mut subscription) = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            opened = opened => opened?,
        };
        // After a failure it has to be seen to work: what it failed at comes first.
        if !backoff.is_waiting() {
            conditions.clear(&self.partition);
        }
        let mut requests = interval_at(Instant::now() + REQUESTS_INTERVAL, REQUESTS_INTERVAL);
        requests.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let chunk = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                _ = requests.tick() => {
                    again::answer(self, &mut state).await?;
                    conditions.clear(&self.partition);
                    continue;
                }
                chunk = subscription.next_chunk(BATCHES_PER_STEP) => chunk?,
            };
            self.step(&mut state, chunk).await?;
            conditions.clear(&self.partition);
            backoff.succeeded();
        }
    }

    /// Whether the partition is to be given back.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The recipe: enrich each batch, keep what was done, acknowledge it. After
    /// an error the state has seen more than was done, and is of no more use.
    async fn step(&self, state: &mut State, chunk: Vec<Delivery>) -> Result<(), Error> {
        let mut done = Vec::with_capacity(chunk.len());
        let mut outcome = Ok(());
        for delivery in chunk {
            outcome = self.settle(state, &delivery).await;
            if outcome.is_err() {
                break;
            }
            done.push(delivery);
        }
        self.keep(state).await?;
        ack_all(&done).await?;
        outcome
    }

    async fn settle(&self, state: &mut State, delivery: &Delivery) -> Result<(), Error> {
        if delivery.sequence <= state.floor {
            self.shared.metrics.redelivered();
            return Ok(());
        }
        match delivery.decode::<RawBatch>().map_err(Error::from) {
            Ok(batch) => self.enrich(state, delivery.sequence, &batch).await,
            Err(error) => self.bury_batch(delivery, &error).await,
        }
    }

    /// Marks, joins and publishes one batch.
    async fn enrich(&self, state: &mut State, raw_seq: u64, raw: &RawBatch) -> Result<(), Error> {
        let (lines, dead) = enrich::read(&raw.lines);
        if !dead.is_empty() {
            self.admit(lines.len() + dead.len(), dead.len())?;
            self.bury_lines(raw_seq, raw, dead).await?;
        } else {
            self.admit(lines.len(), 0)?;
        }
        let mut scratch = Vec::new();
        let keys = lines.iter().map(|line| Key::of(&line.event.source, &line.event.id, &mut scratch)).collect();
        let marks = state.duplicates.mark(raw_seq, raw.ingested_at, keys);
        // Up to there it was published before it could be kept, or the store
        // was restored from a backup: only what is remembered is made again.
        if raw_seq > state.published {
            let place = Place { raw_seq, raw_prev: state.predecessor(raw_seq), again: None };
            self.publish(state, place, raw, &lines, &marks).await?;
        }
        state.floor = raw_seq;
        Ok(())
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
        let Shared { bus, reference, geo, metrics, .. } = &*self.shared;
        let Place { raw_seq, raw_prev, again } = place;
        let spans = Spans::open(lines.iter().map(|line| &line.event), lines.len(), raw_seq, raw.trace);
        let (products, customers) = enrich::ids(lines);
        let snapshot = reference.snapshot(products, customers).await?;
        let (written, tally) = enrich::write(lines, marks, &snapshot, geo)?;
        let batch = EnrichedBatch {
            partition: self.partition,
            raw_seq,
            raw_prev,
            ingested_at: raw.ingested_at,
            refdata: snapshot.version(),
            count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            lines: Bytes::from(written),
            trace: spans.traceparent(),
        };
        let stored = bus.publish(&Successor { batch, of: state.tail, again }).await?;
        state.tail = state.tail.max(stored.sequence);
        match again {
            None => metrics.batch(&tally),
            Some(_) => metrics.remade(),
        }
        Ok(())
    }

    /// Keeps the batches since the last time, and the floor with them.
    async fn keep(&self, state: &mut State) -> Result<(), Error> {
        if state.floor > state.kept {
            let prune_below = state.duplicates.prunable();
            let batches = state.duplicates.unsaved(state.floor).collect();
            let step = Step { partition: self.partition, from: state.kept, to: state.floor, batches, prune_below };
            answered(self.shared.store.keep(&step)).await?;
            state.kept = state.floor;
            state.duplicates.saved();
        }
        let dropped = state.duplicates.take_dropped();
        let (keys, span) = (state.duplicates.len(), state.duplicates.span_millis());
        self.shared.metrics.remembered(self.partition, keys, span, dropped);
        Ok(())
    }

    /// Reads where the partition stands, and compares it with the log at both
    /// ends.
    async fn open(&self) -> Result<State, Error> {
        let Shared { bus, store, limits, .. } = &*self.shared;
        let partition = self.partition;
        let floor = answered(store.floor(partition)).await?;
        let end = match bus.last::<RawBatch>(&Durable::Enrichment(partition).filter()).await {
            Ok(last) => last.map(|stored| stored.sequence),
            // It will be set aside when it is read.
            Err(tidemill_bus::Error::Decode(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = end.filter(|end| *end < floor) {
            return Err(Error::ForeignLog { partition, floor, end });
        }
        let last = bus.last::<EnrichedBatch>(&topology::enriched(partition)).await.map_err(|error| match error {
            tidemill_bus::Error::Decode(error) => Error::UnreadableEnd { partition, error },
            other => other.into(),
        })?;
        let published = last.as_ref().map(|stored| stored.message.raw_seq);
        let mut state = State {
            floor,
            kept: floor,
            published: published.unwrap_or(0),
            tail: last.map_or(0, |stored| stored.sequence),
            duplicates: Duplicates::restore(*limits, answered(store.batches(partition)).await?),
        };
        again::make_up(self, &mut state, published).await?;
        Ok(state)
    }

    /// Takes events in that are about to be settled, unless too many of them
    /// are none.
    fn admit(&self, all: usize, dead: usize) -> Result<(), Error> {
        let mut ceiling = self.ceiling.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ceiling.admit(all as u64, dead as u64)?)
    }

    /// Sets a message aside that is no batch. It does not count as anybody's
    /// predecessor.
    async fn bury_batch(&self, delivery: &Delivery, error: &Error) -> Result<(), Error> {
        self.admit(1, 1)?;
        let letter = DeadLetter {
            deliveries: delivery.deliveries,
            first_failed_at: delivery.stored_at,
            ..self.letter(delivery.sequence, "batch", error, delivery.payload())
        };
        self.send(&letter, error).await?;
        Ok(delivery.terminate().await?)
    }

    /// Sets lines aside that are no events, before the rest goes on.
    async fn bury_lines(&self, raw_seq: u64, raw: &RawBatch, dead: Vec<enrich::Dead<'_>>) -> Result<(), Error> {
        for enrich::Dead { index, text, error } in dead {
            let letter = DeadLetter {
                source: enrich::source_of(text, raw.sources.keys()),
                first_failed_at: raw.ingested_at,
                ..self.letter(raw_seq, &index.to_string(), &error, Bytes::copy_from_slice(text))
            };
            self.send(&letter, &error).await?;
        }
        Ok(())
    }

    async fn send(&self, letter: &DeadLetter, error: &Error) -> Result<(), Error> {
        tracing::warn!(partition = %self.partition, id = letter.id, %error, code = error.code(), "dead letter");
        self.shared.bus.publish(letter).await?;
        self.shared.metrics.dead_letter(error.code());
        Ok(())
    }

    fn letter(&self, raw_seq: u64, place: &str, error: &Error, body: Bytes) -> DeadLetter {
        DeadLetter {
            id: format!("enrichment-{raw_seq}-{place}"),
            service: self.shared.context.service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: error.code().into(),
            reason: error.to_string(),
            pointer: None,
            stream: Some(StreamName::Raw.as_str().into()),
            sequence: Some(raw_seq),
            deliveries: 1,
            first_failed_at: Timestamp::EPOCH,
            source: "unknown".into(),
            event_id: None,
            redriven_from: None,
            personal: Vec::new(),
            trace: None,
            events: Events::One,
            body: body.slice(..body.len().min(DEAD_LETTER_BYTES)),
        }
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
    pub(crate) again: Option<u64>,
}

/// A batch that NATS takes only right behind the one before it. `ENRICHED` is
/// not synced to disk, so a crash may take its last batches while this process
/// lives on; then this one is refused, rather than leave a gap behind it, and
/// opening the partition afresh makes the lost ones again.
struct Successor {
    batch: EnrichedBatch,
    /// The sequence in `ENRICHED` of the one before.
    of: u64,
    again: Option<u64>,
}

impl Message for Successor {
    const STREAM: StreamName = EnrichedBatch::STREAM;
    const VERSION: u32 = EnrichedBatch::VERSION;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let mut encoded = self.batch.encode()?;
        if let Some(again) = self.again {
            encoded.message_id = format!("{}-again-{again}", encoded.message_id);
        }
        encoded.headers.push(("Nats-Expected-Last-Subject-Sequence", self.of.to_string()));
        Ok(encoded)
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { batch: EnrichedBatch::decode(headers, payload)?, of: 0, again: None })
    }
}

/// Tells how far each partition of this replica is behind, every few seconds,
/// and which of them stand still.
pub(crate) async fn report_lag(shared: Arc<Shared>, owned: Owned<Partition>) -> Result<(), std::convert::Infallible> {
    let Shared { bus, context, metrics, .. } = &*shared;
    let standstill = Standstill::new(&context.health, "standing_partition");
    let mut ticks = interval(Duration::from_secs(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        standstill.retain(|partition| owned.contains(*partition));
        for partition in owned.units() {
            match bus.progress(Durable::Enrichment(partition)).await {
                Ok(Progress { reached, waiting }) => {
                    metrics.lag(partition, waiting);
                    standstill.look(partition, reached, waiting);
                }
                // Not made yet, or NATS is away: readiness says so.
                Err(error) => tracing::debug!(%partition, %error, "lag is unknown"),
            }
        }
    }
}
