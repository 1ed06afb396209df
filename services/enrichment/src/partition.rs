//! An open partition: where it stands, how its batches are published, and its
//! checkpoints.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tidemill_bus::Stored;
use tidemill_domain::Partition;
use tidemill_events::{EnrichedBatch, StreamName, TraceParent, topology};
use tidemill_stage::{Ingested, LogPlace};
use tidemill_store::answered;

use crate::{
    batch::{BatchPlace, EncodedBatch, MarkedBatch, ParsedBatch, SettledBatch},
    duplicates::{Duplicates, EventKey},
    error::Error,
    orders::{BatchChanges, EffectPlace, OrderMemory, PastEffects, SettledOrders},
    reference::CustomerClaim,
    resources::Resources,
    store::{ClaimsCheckpoint, ClaimsOutcome, OrdersCheckpoint, PartitionCheckpoint},
    telemetry::Spans,
};

pub(crate) struct OpenPartition {
    pub(crate) partition: Partition,
    pub(crate) resources: Arc<Resources>,
    /// The last batch that is done.
    pub(crate) floor: u64,
    /// The floor in the store.
    checkpointed: u64,
    /// The last batch in `ENRICHED` when the partition was opened.
    pub(crate) published: Option<u64>,
    /// The sequence in `ENRICHED` of the last batch there.
    tail: u64,
    pub(crate) duplicates: Duplicates,
    pub(crate) orders: OrderMemory,
    /// What events have claimed of customers since the last checkpoint, by customer and
    /// in the log's order.
    claims: HashMap<String, Vec<CustomerClaim>>,
}

/// What was done to orders is kept for a day longer than it is asked for: batches are
/// made again from the log, and what was left out may come again as history.
const BEYOND_THE_LOG_MILLIS: i64 = 24 * 3_600_000;

impl OpenPartition {
    /// Reads where the partition stands, and compares it with the log at both
    /// ends.
    pub(crate) async fn open(partition: Partition, resources: Arc<Resources>) -> Result<Self, Error> {
        let Resources { bus, nats, .. } = &*resources;
        let done = Self::done(partition, &resources).await?;
        // A log that has nothing yet is another one too: once its batches come, nobody looks.
        nats.call(done.belongs_to(bus)).await?;
        // Nor is one to be read by a partition that had nothing in the log before.
        nats.call(Self::furthest(&resources).await?.belongs_to(bus)).await?;
        let mut open = Self::read(partition, done.raw_seq, resources.clone()).await?;
        let subject = topology::enriched(partition);
        let last = match nats.call(bus.last::<EnrichedBatch>(&subject)).await {
            Ok(last) => last,
            Err(tidemill_bus::Error::Decode(error)) => return Err(Error::UnreadableEnd { partition, error }),
            Err(error) => return Err(error.into()),
        };
        // What `ENRICHED` has is not published again, and so must be of this log as well.
        let published = last.as_ref().map_or_else(LogPlace::default, |Stored { message, .. }| LogPlace {
            raw_seq: message.raw_seq,
            ingested: Ingested::At(message.ingested_at),
        });
        nats.call(published.belongs_to(bus)).await?;
        open.published = last.as_ref().map(|stored| stored.message.raw_seq);
        open.tail = last.map_or(0, |stored| stored.sequence);
        Ok(open)
    }

    /// Reads where the partition stands in the store, which must not be ahead of the log.
    pub(crate) async fn restore(partition: Partition, resources: Arc<Resources>) -> Result<Self, Error> {
        let done = Self::done(partition, &resources).await?;
        resources.nats.call(done.compare(&resources.bus)).await?;
        Self::read(partition, done.raw_seq, resources).await
    }

    /// The last batch that is done, as the store knows it.
    async fn done(partition: Partition, resources: &Resources) -> Result<LogPlace, Error> {
        let Resources { store, store_breaker, .. } = resources;
        let raw_seq = store_breaker.call(answered(store.floor(partition))).await?;
        Self::place(partition, raw_seq, resources).await
    }

    /// The same of whichever partition is furthest.
    async fn furthest(resources: &Resources) -> Result<LogPlace, Error> {
        let Resources { store, store_breaker, .. } = resources;
        match store_breaker.call(answered(store.furthest())).await? {
            Some((partition, raw_seq)) => Self::place(partition, raw_seq, resources).await,
            None => Ok(LogPlace::default()),
        }
    }

    async fn place(partition: Partition, raw_seq: u64, resources: &Resources) -> Result<LogPlace, Error> {
        let Resources { store, store_breaker, .. } = resources;
        let clock = store_breaker.call(answered(store.log_clock(partition, raw_seq))).await?;
        Ok(LogPlace { raw_seq, ingested: clock.map_or(Ingested::Unknown, Ingested::By) })
    }

    async fn read(partition: Partition, floor: u64, resources: Arc<Resources>) -> Result<Self, Error> {
        let Resources { store, store_breaker, limits, order_horizon_millis, .. } = &*resources;
        let sealed = store_breaker.call(answered(store.sealed(partition))).await?;
        let batches = store_breaker.call(answered(store.batches(partition, sealed.last()))).await?;
        let duplicates = Duplicates::restore(*limits, sealed, batches);
        let waiting = store_breaker.call(answered(store.waiting_orders(partition))).await?;
        let orders = OrderMemory::restore(*order_horizon_millis, waiting);
        Ok(Self {
            partition,
            floor,
            checkpointed: floor,
            published: None,
            tail: 0,
            duplicates,
            orders,
            claims: HashMap::new(),
            resources,
        })
    }

    /// Marks the duplicates of the next batch of the log.
    pub(crate) async fn mark<'b>(&mut self, batch: ParsedBatch<'b>) -> Result<MarkedBatch<'b>, Error> {
        let keys = batch.keys();
        let doubts = self.duplicates.doubts(&keys);
        let older = self.resources.archive.sightings(self.partition, &doubts).await?;
        Ok(batch.mark(&mut self.duplicates, &keys, &older))
    }

    /// What a batch does to orders: those that it is about are looked up, and
    /// change when the batch is done.
    pub(crate) async fn settle(&self, batch: &MarkedBatch<'_>) -> Result<SettledOrders, Error> {
        let Resources { store, store_breaker, geo, currency, .. } = &*self.resources;
        let unknown = self.orders.unknown(batch.statements());
        let stored = match unknown.is_empty() {
            true => HashMap::new(),
            false => store_breaker.call(answered(store.orders(self.partition, &unknown))).await?,
        };
        let past = self.past_effects(batch).await?;
        Ok(self.orders.settle(batch.raw().ingested_at, batch.event_statements(geo, *currency), &stored, &past))
    }

    /// What events did before that come again as history.
    async fn past_effects(&self, batch: &MarkedBatch<'_>) -> Result<PastEffects, Error> {
        let (mut past, events) = (PastEffects::default(), batch.perhaps_again());
        if events.is_empty() {
            return Ok(past);
        }
        let since = batch.raw().ingested_at.plus_millis(-left_out_millis());
        let Resources { store, store_breaker, .. } = &*self.resources;
        let mut places = store_breaker.call(answered(store.order_effects(self.partition, &events, since))).await?;
        places.extend(self.orders.unsaved_effects(&events, since));
        // In the order of the log, and each batch of it once.
        let mut batches: BTreeMap<u64, Vec<(usize, EventKey)>> = BTreeMap::new();
        for (event, EffectPlace { raw_seq, place }) in places {
            batches.entry(raw_seq).or_default().push((place, event));
        }
        for (raw_seq, mut events) in batches {
            let mut changes = self.kept_changes(raw_seq).await?;
            events.sort_unstable();
            for (place, event) in events {
                if let Some(change) = changes.remove(&place) {
                    past.add(event, change);
                }
            }
        }
        Ok(past)
    }

    /// What the events of a batch did to orders that were there: from memory, or from
    /// the store.
    pub(crate) async fn kept_changes(&self, raw_seq: u64) -> Result<BatchChanges, Error> {
        let (_, unsaved) = self.orders.unsaved();
        if let Some(batch) = unsaved.iter().find(|batch| batch.raw_seq == raw_seq) {
            return Ok(batch.changes.clone());
        }
        let Resources { store, store_breaker, .. } = &*self.resources;
        Ok(store_breaker.call(answered(store.order_changes(self.partition, raw_seq))).await?)
    }

    /// Publishes the next batch of the log, and moves the floor behind it.
    ///
    /// A batch up to `published` was published before it could be checkpointed,
    /// or the store was restored from a backup: only what is remembered of it is
    /// made again.
    pub(crate) async fn publish_next(&mut self, raw_seq: u64, batch: &SettledBatch<'_>) -> Result<(), Error> {
        let published = self.published.unwrap_or(0);
        if raw_seq > published {
            // For who reads `ENRICHED`: should the store be younger than the
            // log, what is published still leads there.
            let raw_prev = self.floor.max(published);
            self.publish(batch, BatchPlace { raw_seq, raw_prev, remade: None }).await?;
        }
        self.floor = raw_seq;
        Ok(())
    }

    /// Joins a batch, encodes and publishes it.
    pub(crate) async fn publish(&mut self, batch: &SettledBatch<'_>, place: BatchPlace) -> Result<(), Error> {
        let spans = Spans::open(batch.events(), place.raw_seq, batch.raw().trace);
        let EncodedBatch { message, tally } = self.join(batch, place, spans.traceparent()).await?;
        let Resources { bus, nats, telemetry, .. } = &*self.resources;
        // `ENRICHED` is not synced to disk, so a crash may take its last
        // batches while this process lives on. Then this one is refused, rather
        // than leave a gap behind it, and opening the partition afresh makes
        // the lost ones again.
        let stored = nats.call(bus.publish_after(&message, self.tail)).await?;
        self.tail = self.tail.max(stored.sequence);
        match place.remade {
            None => telemetry.batch(&tally),
            Some(_) => telemetry.remade(),
        }
        Ok(())
    }

    /// Joins a batch with what is known of its events, and encodes it.
    pub(crate) async fn join(
        &self,
        batch: &SettledBatch<'_>,
        place: BatchPlace,
        trace: Option<TraceParent>,
    ) -> Result<EncodedBatch, Error> {
        let Resources { reference, geo, currency, .. } = &*self.resources;
        let known = reference.snapshot(batch.products(), batch.customers()).await?;
        batch.join(&known, geo, *currency).encode(self.partition, place, trace)
    }

    /// Stores the batches since the last checkpoint, and the floor with them.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), Error> {
        if self.floor <= self.checkpointed {
            return Ok(());
        }
        let runs = self.resources.archive.change(self.partition, &self.duplicates).await?;
        let Resources { store, store_breaker, .. } = &*self.resources;
        let prune_below = self.duplicates.prunable();
        let forget_at = self.orders.forget_at();
        let (changed, kept) = self.orders.unsaved();
        let checkpoint = PartitionCheckpoint {
            partition: self.partition,
            from: self.checkpointed,
            to: self.floor,
            batches: self.duplicates.unsaved(self.floor).collect(),
            runs: runs.as_ref(),
            prune_below,
            orders: OrdersCheckpoint {
                changed,
                kept,
                forget_before: forget_at.map(|at| self.orders.horizon(at)),
                prune_before: forget_at.map(|at| at.plus_millis(-kept_millis())),
            },
        };
        let outcome = match self.claims.is_empty() {
            true => store_breaker.call(answered(store.checkpoint(&checkpoint))).await.map(|()| None),
            false => self.checkpoint_claims(&checkpoint).await.map(Some),
        }?;
        self.checkpointed = self.floor;
        self.duplicates.saved();
        self.orders.saved();
        if let Some(runs) = runs {
            self.duplicates.changed(runs);
        }
        if let Some(outcome) = outcome {
            self.claims.clear();
            self.claimed(outcome).await;
        }
        Ok(())
    }

    /// Takes in what the events of a batch claim of customers. It changes what is known
    /// of them with the next checkpoint.
    pub(crate) fn claim(&mut self, claims: Vec<CustomerClaim>) {
        for claim in claims.into_iter().filter_map(|claim| self.resources.reference.understood(claim)) {
            self.claims.entry(claim.id.clone()).or_default().push(claim);
        }
    }

    async fn checkpoint_claims(&self, checkpoint: &PartitionCheckpoint<'_>) -> Result<ClaimsOutcome, Error> {
        let Resources { store, store_breaker, context, lead_millis, most_claimed, .. } = &*self.resources;
        let earliest = || context.clock.now().plus_millis(*lead_millis);
        let claims =
            ClaimsCheckpoint { claims: &self.claims, earliest: &earliest, most_customers: (*most_claimed).into() };
        store_breaker.call(answered(store.checkpoint_with_claims(checkpoint, &claims))).await
    }

    /// What was claimed is stored. Other replicas look within a second; this one need
    /// not wait.
    async fn claimed(&self, outcome: ClaimsOutcome) {
        let Resources { reference, telemetry, .. } = &*self.resources;
        telemetry.claims(outcome);
        if outcome.changed > 0
            && let Err(error) = reference.refresh().await
        {
            tracing::debug!(%error, "the changes will be seen at the next look");
        }
    }

    /// Tells how much is remembered.
    pub(crate) fn report(&mut self) {
        let dropped = self.duplicates.take_dropped();
        self.resources.telemetry.remembered(self.partition, self.duplicates.size(), dropped);
    }
}

/// For how long aggregation knows what it left out: it was late, or a dead letter.
fn left_out_millis() -> i64 {
    let longest = StreamName::Late.max_age().max(StreamName::Dlq.max_age());
    i64::try_from(longest.as_millis()).unwrap_or(i64::MAX)
}

fn kept_millis() -> i64 {
    let log = i64::try_from(StreamName::Raw.max_age().as_millis()).unwrap_or(i64::MAX);
    log.max(left_out_millis()).saturating_add(BEYOND_THE_LOG_MILLIS)
}
