//! One partition's consumer: enriched batches in, totals out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::Deserialize;
use tidemill_bus::{Bus, Delivery, Subscription, ack_all};
use tidemill_definitions::Metrics;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{
    CellUpdate, DeadLetter, Durable, EnrichedBatch, MetricsUpdate, StreamName, TraceParent, topology,
};
use tidemill_metrics_store::{FieldValue, MetricsStore, Point};
use tidemill_service::Context;
use tidemill_totals::Value;
use tokio::time::{sleep, timeout};

use crate::{
    cell::Cell,
    config::Windows,
    error::{Disposition, Error},
    state::{Parsed, PartitionState, parse},
    store::Store,
    telemetry::{self, Telemetry},
};

/// Batches that are applied between two flushes.
const MAX_CHUNK: usize = 64;
/// Totals and books in one message; more are split, so that a message stays
/// far below the server's limit.
const CELLS_PER_MESSAGE: usize = 400;
/// Cells read at once to be published again.
const REPUBLISHED_AT_ONCE: usize = 4_000;

/// Reads one partition of `ENRICHED`, alone, in order.
pub(crate) struct PartitionConsumer {
    pub(crate) partition: Partition,
    pub(crate) context: Context,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) metrics_store: MetricsStore,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) windows: Windows,
    pub(crate) telemetry: Telemetry,
}

impl PartitionConsumer {
    /// Consumes until shutdown. What may come back is waited for: the
    /// partition starts over from its last checkpoint.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let mut wait = Duration::from_millis(200);
        while !self.context.shutdown.is_cancelled() {
            let error = match self.consume(&mut wait).await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.telemetry.failed(self.partition, &error);
            match error.disposition() {
                Disposition::Retry => self.context.health.unready("partition", format!("{}: {error}", self.partition)),
                Disposition::Fail => return Err(error),
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
                () = self.context.shutdown.cancelled() => break,
            }
        }
        Ok(())
    }

    /// The recipe: take a chunk, apply it, publish and write what changed,
    /// checkpoint, acknowledge.
    async fn consume(&self, wait: &mut Duration) -> Result<(), Error> {
        let mut state = self.store.load(self.partition, &self.windows, self.context.clock.now()).await?;
        self.republish_lost(&state).await?;
        let mut subscription = self.bus.subscribe(Durable::Aggregation(self.partition)).await?;
        let mut announced_idle = false;
        while let Some(chunk) = self.next_chunk(&mut subscription, &state, &mut announced_idle).await? {
            let batches = decode(&chunk)?;
            let trace = self.apply(&mut state, &batches).await?;
            self.publish(&state, trace).await?;
            self.write_points(&state).await?;
            self.store.checkpoint(&state).await?;
            state.checkpointed();
            ack_all(&chunk).await?;
            self.telemetry.applied(self.partition, &state, chunk.len());
            self.context.health.ready("partition");
            *wait = Duration::from_millis(200);
        }
        Ok(())
    }

    /// The next batches, or `None` on shutdown. A partition that hears nothing
    /// says once that it is idle, so that it holds no window open.
    async fn next_chunk(
        &self,
        subscription: &mut Subscription,
        state: &PartitionState,
        announced_idle: &mut bool,
    ) -> Result<Option<Vec<Delivery>>, Error> {
        let idle_after = Duration::from_secs(self.windows.idle_after_seconds.into());
        loop {
            let next = tokio::select! {
                next = timeout(idle_after, subscription.next_chunk(MAX_CHUNK)) => next,
                () = self.context.shutdown.cancelled() => return Ok(None),
            };
            match next {
                Ok(chunk) => {
                    *announced_idle = false;
                    return Ok(Some(chunk?));
                }
                Err(_) if !*announced_idle => {
                    let now = self.context.clock.now();
                    self.bus.publish(&self.update(state, now)).await?;
                    // Only once every source has fallen silent is it final.
                    *announced_idle = state.watermark(now).1;
                }
                Err(_) => {}
            }
        }
    }

    /// `METRICS` is not synced to disk, so a crash of the machine may take its
    /// end away. What the checkpoint has and the stream lacks is published
    /// again.
    async fn republish_lost(&self, state: &PartitionState) -> Result<(), Error> {
        let tail = self.bus.last::<MetricsUpdate>(&topology::metrics(self.partition)).await?;
        // A part without a watermark was to be followed by more of the same
        // position.
        let reached = match tail.map(|stored| stored.message) {
            Some(tail) if tail.watermark.is_some() => tail.raw_seq,
            Some(tail) => tail.raw_seq.saturating_sub(1),
            None => 0,
        };
        if reached >= state.floor {
            return Ok(());
        }
        tracing::info!(partition = %self.partition, reached, floor = state.floor, "publishing totals again");
        let books = self.store.all_books(self.partition).await?;
        let books = books.iter().map(|(key, outcomes)| outcomes.of(key)).collect();
        let mut update = self.update(state, self.context.clock.now());
        for ids in self.store.cells_after(self.partition, reached).await?.chunks(REPUBLISHED_AT_ONCE) {
            let cells = self.store.cells(ids).await?;
            update.part = self.publish_parts(cells.values().map(Cell::update).collect(), &update).await?;
        }
        self.bus.publish(&MetricsUpdate { books, ..update }).await?;
        Ok(())
    }

    /// Applies batches in the order of the log; what was applied before is
    /// passed over. Answers a sampled event behind the changes.
    async fn apply(&self, state: &mut PartitionState, batches: &[EnrichedBatch]) -> Result<Option<TraceParent>, Error> {
        let mut trace = None;
        for batch in batches {
            if batch.raw_seq <= state.floor {
                continue;
            }
            // Without a checkpoint the first batch that is still there is the
            // start; after that the chain has to hold.
            if state.floor != 0 && batch.raw_prev > state.floor {
                return Err(Error::Gap { missing: batch.raw_prev, found: batch.raw_seq });
            }
            let parsed = parse(batch, &self.metrics);
            self.load(state, &parsed).await?;
            for (index, line) in parsed.unreadable.iter().enumerate() {
                self.bury(batch, index, line).await?;
            }
            let span = telemetry::batch_span(batch);
            let sampled: Vec<TraceParent> = parsed.sampled().collect();
            let spans: Vec<_> = sampled.iter().map(|event| telemetry::event_span(*event, batch, &span)).collect();
            let applied = span.in_scope(|| state.apply(parsed, self.context.clock.now()));
            drop(spans);
            self.telemetry.counted(applied.outcomes);
            trace = applied.trace.or(trace);
        }
        Ok(trace)
    }

    /// Reads the cells and books that a batch changes and that are not in
    /// memory.
    async fn load(&self, state: &mut PartitionState, batch: &Parsed<'_>) -> Result<(), Error> {
        let missing: HashSet<_> = batch.cells().filter(|id| !state.cells.contains_key(id)).collect();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().collect();
            state.cells.extend(self.store.cells(&missing).await?);
        }
        let missing: Vec<_> = batch.books().into_iter().filter(|key| !state.books.contains_key(key)).collect();
        state.books.extend(self.store.books(self.partition, &missing).await?);
        Ok(())
    }

    /// Publishes what has changed since the last checkpoint. A repetition
    /// after a crash is harmless: totals are cumulative, and readers keep the
    /// furthest.
    async fn publish(&self, state: &PartitionState, trace: Option<TraceParent>) -> Result<(), Error> {
        let (cells, books) = state.changes();
        let update = MetricsUpdate { trace, ..self.update(state, self.context.clock.now()) };
        let part = self.publish_parts(cells, &update).await?;
        self.bus.publish(&MetricsUpdate { books, part, ..update }).await?;
        Ok(())
    }

    /// Publishes cells in messages of a bounded size, and answers the number
    /// of the part that is to follow. The last part, which the caller sends,
    /// alone says how far all of them reach.
    async fn publish_parts(&self, mut cells: Vec<CellUpdate>, head: &MetricsUpdate) -> Result<u32, Error> {
        let mut part = head.part;
        while !cells.is_empty() {
            let rest = cells.split_off(cells.len().min(CELLS_PER_MESSAGE));
            let cells = std::mem::replace(&mut cells, rest);
            self.bus.publish(&MetricsUpdate { cells, part, watermark: None, ..head.clone() }).await?;
            part += 1;
        }
        Ok(part)
    }

    /// A message that tells of the partition's position and no totals yet.
    fn update(&self, state: &PartitionState, now: Timestamp) -> MetricsUpdate {
        let (watermark, idle) = state.watermark(now);
        MetricsUpdate {
            partition: self.partition,
            raw_seq: state.floor,
            part: 0,
            as_of: now,
            watermark,
            idle,
            cells: Vec::new(),
            books: Vec::new(),
            trace: None,
        }
    }

    async fn write_points(&self, state: &PartitionState) -> Result<(), Error> {
        let points: Vec<Point> =
            state.dirty_cells().filter_map(|(_, cell)| point(cell, self.partition, &self.metrics)).collect();
        match self.metrics_store.write(&points).await {
            // InfluxDB will not take these points, however often they are
            // sent. The totals themselves are published and checkpointed, so
            // what stops here is a copy for charts; it must not stop the log.
            Err(tidemill_metrics_store::Error::Refused(reason)) => {
                self.telemetry.points_refused(points.len(), &reason);
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// A line that is no event becomes a dead letter, and the rest of its
    /// batch goes on.
    async fn bury(&self, batch: &EnrichedBatch, index: usize, line: &[u8]) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Claim {
            source: String,
        }
        let claim = serde_json::from_slice::<Claim>(line);
        let letter = DeadLetter {
            id: format!("aggregation-{}-{index}", batch.raw_seq),
            service: "aggregation".into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: "unreadable_event".into(),
            reason: "not an enriched CloudEvent".into(),
            pointer: None,
            stream: Some(StreamName::Raw.as_str().into()),
            sequence: Some(batch.raw_seq),
            deliveries: 1,
            first_failed_at: self.context.clock.now(),
            source: claim.map_or_else(|_| "unknown".into(), |claim| claim.source),
            event_id: None,
            trace: None,
            body: line.to_vec().into(),
        };
        tracing::warn!(code = letter.code, sequence = letter.sequence, "dead letter");
        self.bus.publish(&letter).await?;
        Ok(())
    }
}

/// The batches of a chunk. Enrichment alone writes them, so one that cannot be
/// read is of another release, or a fault of ours: the partition waits, with
/// the reason in its readiness, and nothing is lost.
fn decode(chunk: &[Delivery]) -> Result<Vec<EnrichedBatch>, Error> {
    chunk.iter().map(|delivery| delivery.decode().map_err(Error::Unreadable)).collect()
}

/// A cell as a point: amounts as floats for charts, and exactly in millionths
/// beside them.
fn point(cell: &Cell, partition: Partition, metrics: &Metrics) -> Option<Point> {
    let metric = metrics.get(&cell.key.metric)?;
    let mut tags = cell.key.dimensions.clone();
    tags.insert("partition".into(), partition.to_string());
    tags.insert("version".into(), cell.key.version.clone());
    let mut fields = std::collections::BTreeMap::new();
    for (name, measure) in metric.measures.keys().zip(&cell.totals().0) {
        match measure.value() {
            Value::Count(n) => {
                fields.insert(name.clone(), FieldValue::Integer(i64::try_from(n).unwrap_or(i64::MAX)));
            }
            Value::Amount(amount) => {
                fields.insert(name.clone(), FieldValue::Float(amount.to_f64()));
                if let Ok(micros) = i64::try_from(amount.micros()) {
                    fields.insert(format!("{name}_micros"), FieldValue::Integer(micros));
                }
            }
            Value::Number(x) => {
                fields.insert(name.clone(), FieldValue::Float(x));
            }
            Value::None => {}
        }
    }
    (!fields.is_empty()).then(|| Point { measurement: cell.key.metric.clone(), tags, fields, time: cell.key.start })
}
