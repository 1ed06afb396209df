//! One partition of `RAW`, in order, into `ENRICHED`.
//!
//! What a batch becomes is a function of the log up to it and of the reference
//! data. It is published, then kept together with the partition's floor, then
//! acknowledged; so a process that dies in between does the same again, under
//! the same message id.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery, ack_all};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{
    DeadLetter, DecodeError, Durable, Encoded, EnrichedBatch, HeaderSource, Message, RawBatch, StreamName, topology,
};
use tidemill_service::{Context, Health};
use tokio::time::sleep;

use crate::{
    duplicates::{Batch, Duplicates, Key, Limits},
    enrich,
    error::{Disposition, Error},
    geo::Geo,
    reference::Reference,
    store::{Step, Store},
    telemetry::{Metrics, Spans},
};

/// Batches that are worked on before they are kept and acknowledged together.
const BATCHES_PER_STEP: usize = 64;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What a dead letter keeps of its body.
const DEAD_LETTER_BYTES: usize = 256 * 1024;

/// What all partitions share.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) store: Arc<Store>,
    pub(crate) reference: Arc<Reference>,
    pub(crate) geo: Geo,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) context: Context,
    pub(crate) troubles: Troubles,
}

/// The partitions that do not move, and why.
pub(crate) struct Troubles(Mutex<BTreeMap<Partition, String>>);

impl Troubles {
    /// None of them moves yet.
    pub(crate) fn new(health: &Health, partitions: impl Iterator<Item = Partition>) -> Self {
        health.unready("consumer", "the partitions are being opened");
        Self(Mutex::new(partitions.map(|partition| (partition, "it is being opened".into())).collect()))
    }

    fn set(&self, health: &Health, partition: Partition, trouble: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => drop(troubles.insert(partition, trouble)),
            None => drop(troubles.remove(&partition)),
        }
        match troubles.iter().next() {
            Some((partition, trouble)) => health.unready("consumer", format!("partition {partition}: {trouble}")),
            None => health.ready("consumer"),
        }
    }
}

/// Where a partition stands.
struct State {
    /// The last batch that is done.
    floor: u64,
    /// The floor in the store.
    kept: u64,
    /// The last batch in `ENRICHED` when the partition was opened.
    published: u64,
    /// The sequence in `ENRICHED` of the last batch there.
    tail: u64,
    duplicates: Duplicates,
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
}

impl Consumer {
    /// Works until shutdown. After an error that may pass, the partition is
    /// opened afresh.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let Context { shutdown, health, .. } = &self.shared.context;
        let mut wait = FIRST_WAIT;
        while let Err(error) = self.work(&mut wait).await {
            if error.disposition() != Disposition::Retry {
                return Err(error);
            }
            tracing::warn!(partition = %self.partition, %error, code = error.code(), "partition stopped; opening it afresh");
            self.shared.metrics.retry(error.code());
            self.shared.troubles.set(health, self.partition, Some(error.to_string()));
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                () = shutdown.cancelled() => break,
            }
        }
        Ok(())
    }

    async fn work(&self, wait: &mut Duration) -> Result<(), Error> {
        let Shared { bus, context, troubles, .. } = &*self.shared;
        let mut state = tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            state = self.open() => state?,
        };
        let mut subscription = bus.subscribe(Durable::Enrichment(self.partition)).await?;
        troubles.set(&context.health, self.partition, None);
        loop {
            let chunk = tokio::select! {
                biased;
                () = context.shutdown.cancelled() => return Ok(()),
                chunk = subscription.next_chunk(BATCHES_PER_STEP) => chunk?,
            };
            self.step(&mut state, chunk).await?;
            *wait = FIRST_WAIT;
        }
    }

    /// The recipe: enrich each batch, keep what was done, acknowledge it.
    async fn step(&self, state: &mut State, chunk: Vec<Delivery>) -> Result<(), Error> {
        let mut done = Vec::with_capacity(chunk.len());
        for delivery in chunk {
            if delivery.sequence <= state.floor {
                self.shared.metrics.redelivered();
                done.push(delivery);
                continue;
            }
            match delivery.decode::<RawBatch>().map_err(Error::from) {
                Ok(batch) => {
                    self.enrich(state, delivery.sequence, &batch).await?;
                    done.push(delivery);
                }
                Err(error) => self.bury_batch(&delivery, &error).await?,
            }
        }
        self.keep(state).await?;
        Ok(ack_all(&done).await?)
    }

    /// Marks, joins and publishes one batch.
    async fn enrich(&self, state: &mut State, raw_seq: u64, raw: &RawBatch) -> Result<(), Error> {
        let Shared { bus, reference, geo, metrics, .. } = &*self.shared;
        let (lines, dead) = enrich::read(&raw.lines);
        self.bury_lines(raw_seq, raw, dead).await?;
        let spans = Spans::open(lines.iter().map(|line| &line.event), lines.len(), raw_seq, raw.trace);

        let mut scratch = Vec::new();
        let keys = lines.iter().map(|line| Key::of(&line.event.source, &line.event.id, &mut scratch)).collect();
        let (products, customers) = enrich::ids(&lines);
        let snapshot = reference.snapshot(products, customers).await?;
        let duplicates = state.duplicates.mark(raw_seq, raw.ingested_at, keys);
        let (written, tally) = enrich::write(&lines, &duplicates, &snapshot, geo)?;

        let batch = EnrichedBatch {
            partition: self.partition,
            raw_seq,
            raw_prev: state.predecessor(raw_seq),
            ingested_at: raw.ingested_at,
            refdata: snapshot.version(),
            count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            lines: Bytes::from(written),
            trace: spans.traceparent(),
        };
        let stored = bus.publish(&Successor { batch, of: state.tail }).await?;
        state.tail = state.tail.max(stored.sequence);
        state.floor = raw_seq;
        metrics.batch(&tally);
        Ok(())
    }

    /// Keeps the batches since the last time, and the floor with them.
    async fn keep(&self, state: &mut State) -> Result<(), Error> {
        if state.floor > state.kept {
            let prune_below = state.duplicates.prunable();
            let batches = state.duplicates.unsaved().collect();
            let step = Step { partition: self.partition, from: state.kept, to: state.floor, batches, prune_below };
            self.shared.store.keep(&step).await?;
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
        let floor = store.floor(partition).await?;
        let end = match bus.last::<RawBatch>(&Durable::Enrichment(partition).filter()).await {
            Ok(last) => last.map(|stored| stored.sequence),
            // It will be set aside when it is read.
            Err(tidemill_bus::Error::Decode(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = end.filter(|end| *end < floor) {
            return Err(Error::ForeignLog { partition, floor, end });
        }
        let last = bus.last::<EnrichedBatch>(&topology::enriched(partition)).await?;
        let published = last.as_ref().map(|stored| stored.message.raw_seq);
        let (done, lost) = split(store.batches(partition).await?, published, self.oldest_kept());
        let mut state = State {
            floor: done.last().map_or(0, |batch| batch.raw_seq),
            kept: floor,
            published: published.unwrap_or(0),
            tail: last.map_or(0, |stored| stored.sequence),
            duplicates: Duplicates::restore(*limits, done),
        };
        for batch in lost {
            self.make_again(&mut state, batch).await?;
        }
        state.floor = floor;
        state.duplicates.saved();
        Ok(state)
    }

    /// What is older than this has left `ENRICHED` by age.
    fn oldest_kept(&self) -> Timestamp {
        let age = i64::try_from(StreamName::Enriched.max_age().as_millis()).unwrap_or(i64::MAX);
        self.shared.context.clock.now().plus_millis(-age)
    }

    /// Publishes a batch again that was acknowledged, and that `ENRICHED`,
    /// which is not synced to disk, has lost in a crash.
    async fn make_again(&self, state: &mut State, batch: Batch) -> Result<(), Error> {
        match self.shared.bus.message_at::<RawBatch>(batch.raw_seq).await? {
            Some(raw) => {
                self.enrich(state, batch.raw_seq, &raw.message).await?;
                self.shared.metrics.remade();
            }
            None => {
                tracing::error!(partition = %self.partition, raw_seq = batch.raw_seq, "a batch is lost: neither ENRICHED nor RAW has it");
                state.duplicates.mark(batch.raw_seq, batch.clock, batch.keys);
                state.floor = batch.raw_seq;
            }
        }
        Ok(())
    }

    /// Sets a message aside that is no batch. It does not count as anybody's
    /// predecessor.
    async fn bury_batch(&self, delivery: &Delivery, error: &Error) -> Result<(), Error> {
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
            trace: None,
            body: body.slice(..body.len().min(DEAD_LETTER_BYTES)),
        }
    }
}

/// A batch that NATS takes only right behind the one before it. `ENRICHED` is
/// not synced to disk, so a crash may take its last batches while this process
/// lives on; then this one is refused, rather than leave a gap behind it, and
/// opening the partition afresh makes the lost ones again.
struct Successor {
    batch: EnrichedBatch,
    /// The sequence in `ENRICHED` of the one before.
    of: u64,
}

impl Message for Successor {
    const STREAM: StreamName = EnrichedBatch::STREAM;
    const VERSION: u32 = EnrichedBatch::VERSION;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let mut encoded = self.batch.encode()?;
        encoded.headers.push(("Nats-Expected-Last-Subject-Sequence", self.of.to_string()));
        Ok(encoded)
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { batch: EnrichedBatch::decode(headers, payload)?, of: 0 })
    }
}

/// The batches up to the last that is published, and those after it that were
/// published too, and are lost.
fn split(mut batches: Vec<Batch>, published: Option<u64>, oldest_kept: Timestamp) -> (Vec<Batch>, Vec<Batch>) {
    let is_there = |batch: &Batch| match published {
        Some(published) => batch.raw_seq <= published,
        None => batch.clock < oldest_kept,
    };
    let lost = batches.split_off(batches.partition_point(is_there));
    (batches, lost)
}

/// Tells how far each partition is behind, every few seconds.
pub(crate) async fn report_lag(shared: Arc<Shared>) -> Result<(), std::convert::Infallible> {
    let Shared { bus, context, metrics, .. } = &*shared;
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        for partition in bus.partitions().all() {
            match bus.lag(Durable::Enrichment(partition)).await {
                Ok(batches) => metrics.lag(partition, batches),
                // Not made yet, or NATS is away: readiness says so.
                Err(error) => tracing::debug!(%partition, %error, "lag is unknown"),
            }
        }
    }
}
