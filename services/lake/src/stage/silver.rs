//! A partition of the enriched log, into silver.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidemill_bus::{Delivery, Error as BusError, Stored, Subscription};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, StreamName, topology};
use tidemill_lake_tables::{
    AppId, TablePart,
    tables::{QuarantinedEvent, SilverEvent, SilverOrder, SilverOrderLine},
};
use tidemill_lateness::{Clocks, EventName, LeftOut};
use tidemill_stage::{Gap, LogPlace, OfLog, Place, subscribe_in_order};
use tidemill_store::answered;
use tokio::time::Instant;

use super::task::UnitRecipe;
use crate::{
    bronze::long,
    error::Error,
    shared::Shared,
    silver::{BrokenContract, SilverBatch, SilverRows, SilverRules},
    store::{LatenessChanges, LatenessState},
    unit::LakeUnit,
};

/// How soon after opening, and after the last batch, to look whether something is
/// missing.
const LOOK_AFTER: Duration = Duration::from_secs(5);

pub(super) struct SilverRecipe {
    shared: Arc<Shared>,
    partition: Partition,
    /// Its own, but while its threads are at it.
    made: Arc<Mutex<MadeSilver>>,
    bytes: usize,
    gap: Gap,
    /// The last batch that was taken.
    floor: u64,
    /// The floor of the last commit.
    committed: u64,
    /// When ingestion took the last batch in.
    newest: Timestamp,
    /// When to look why nothing has come.
    silence: Instant,
}

/// What batches are made into, and what decides about their events.
struct MadeSilver {
    rows: SilverRows,
    clocks: Clocks,
    left_out: LeftOut,
}

/// What became of a batch.
enum BatchMade {
    /// Its events are rows.
    Whole,
    /// It is not known of these whether they were left out.
    Asks(Vec<EventName>),
}

impl MadeSilver {
    fn make(&mut self, batch: &EnrichedBatch, rules: &SilverRules, asks: bool) -> Result<BatchMade, BrokenContract> {
        let read = SilverBatch::read(batch);
        let unknown = if asks { self.left_out.unknown(read.again()) } else { Vec::new() };
        if !unknown.is_empty() {
            return Ok(BatchMade::Asks(unknown));
        }
        read.add(&mut self.rows, &mut self.clocks, &mut self.left_out, rules)?;
        Ok(BatchMade::Whole)
    }
}

impl SilverRecipe {
    /// Goes on where the store stands, which is never ahead of the tables.
    pub(super) async fn open(shared: &Arc<Shared>, partition: Partition) -> Result<(Self, OfLog<Subscription>), Error> {
        let known = shared.store_breaker.call(answered(shared.store.lateness(partition))).await?;
        let app = AppId::of(&SilverEvent::TABLE, partition);
        let reached = shared.committers.silver_events.reached(app).await?.cast_unsigned();
        let known = match reached < known.floor {
            // The table was deleted, or an earlier one was put back.
            true => {
                tracing::warn!(%partition, reached, known = known.floor, "silver.events lacks rows; reading the log again");
                shared.store_breaker.call(answered(shared.store.forget(partition))).await?;
                LatenessState::default()
            }
            false => known,
        };
        let floor = known.floor;
        shared.nats.call(shared.bus.has_reached(StreamName::Raw, floor)).await?;
        let subscribe = subscribe_in_order(&shared.bus, Durable::LakeSilver(partition), partition, LogPlace::at(floor));
        let subscription = shared.nats.call(subscribe).await?;
        let made = MadeSilver {
            rows: SilverRows::new(&shared.silver_rules)?,
            clocks: Clocks::restore(shared.rules, known.clocks, Timestamp::EPOCH),
            left_out: LeftOut::new(known.has_left_out),
        };
        let recipe = Self {
            made: Arc::new(Mutex::new(made)),
            bytes: 0,
            gap: Gap::none(partition, shared.gaps.clone()),
            floor,
            committed: floor,
            newest: Timestamp::EPOCH,
            silence: Instant::now() + LOOK_AFTER,
            shared: shared.clone(),
            partition,
        };
        Ok((recipe, subscription))
    }

    /// Takes a batch, if it is the next one of the log. What is passed over because one
    /// before it is missing comes again behind that one. Answers whether one is.
    async fn take_one(&mut self, batch: EnrichedBatch) -> Result<bool, Error> {
        match Place::of(self.floor, batch.raw_prev, batch.raw_seq) {
            Place::Repeated => return Ok(false),
            // With nothing taken, the first batch that comes is the start, unless
            // enrichment can make the one before it.
            Place::Early if self.floor > 0 || self.log_has(batch.raw_prev).await? => return Ok(true),
            Place::Early | Place::Next => {}
        }
        let batch = Arc::new(batch);
        if let BatchMade::Asks(unknown) = self.make(&batch, true).await? {
            let looked_up = self.shared.store.left_out(self.partition, &unknown);
            let known = self.shared.store_breaker.call(answered(looked_up)).await?;
            known.into_iter().for_each(|(key, since)| self.made().left_out.insert(key, since));
            self.make(&batch, false).await?;
        }
        self.bytes += batch.lines.len();
        self.floor = batch.raw_seq;
        self.newest = batch.ingested_at;
        self.gap.close();
        Ok(false)
    }

    fn made(&self) -> MutexGuard<'_, MadeSilver> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes rows of a batch, on threads for that: rules may take long.
    async fn make(&self, batch: &Arc<EnrichedBatch>, asks: bool) -> Result<BatchMade, Error> {
        let (made, batch, rules) = (Arc::clone(&self.made), Arc::clone(batch), Arc::clone(&self.shared.silver_rules));
        let make = async move { made.lock().unwrap_or_else(PoisonError::into_inner).make(&batch, &rules, asks) };
        Ok(self.shared.row_threads.run(make).await?)
    }

    async fn log_has(&self, raw_seq: u64) -> Result<bool, Error> {
        Ok(self.shared.nats.call(self.shared.bus.message_at::<RawBatch>(raw_seq)).await?.is_some())
    }

    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        let Shared { bus, nats, telemetry, .. } = &*self.shared;
        if self.gap.ask(bus, nats, self.floor).await? {
            telemetry.asked_again(self.partition, self.floor);
        }
        Ok(())
    }

    /// Whether `ENRICHED` ends behind the floor while nothing is left to be delivered.
    async fn is_cut_off(&self) -> Result<bool, Error> {
        let Shared { bus, nats, .. } = &*self.shared;
        let end: Option<Stored<EnrichedBatch>> = match nats.call(bus.last(&topology::enriched(self.partition))).await {
            Err(error @ BusError::Decode(_)) => return Err(Error::Unreadable(error)),
            end => end?,
        };
        let lag = nats.call(bus.lag(Durable::LakeSilver(self.partition))).await?;
        Ok(lag == 0 && end.is_some_and(|end| end.message.raw_seq > self.floor))
    }
}

impl UnitRecipe for SilverRecipe {
    type Message = EnrichedBatch;

    async fn take(&mut self, _: &Delivery, batch: EnrichedBatch) -> Result<(), Error> {
        if self.take_one(batch).await? {
            self.ask_for_missing().await?;
        }
        self.silence = Instant::now() + LOOK_AFTER;
        Ok(())
    }

    /// Enrichment alone writes batches, so it is of another release, or a fault of ours:
    /// the partition waits, and nothing is lost.
    fn unreadable(&mut self, _: &Delivery, error: BusError) -> Result<(), Error> {
        Err(Error::Unreadable(error))
    }

    fn gathered(&self) -> usize {
        self.bytes
    }

    fn commit(&mut self) -> Result<impl Future<Output = Result<u64, Error>> + Send + 'static, Error> {
        let (partition, reaches, newest) = (self.partition, long(self.floor), self.newest);
        let part = |table, rows| TablePart { app: AppId::of(table, partition), reaches, rows };
        let mut made = self.made();
        let events = part(&SilverEvent::TABLE, made.rows.events.take()?);
        let lines = part(&SilverOrderLine::TABLE, made.rows.lines.take()?);
        let orders = part(&SilverOrder::TABLE, made.rows.orders.take()?);
        let quarantine = part(&QuarantinedEvent::TABLE, made.rows.quarantine.take()?);
        let changes = LatenessChanges {
            partition,
            after: self.committed,
            floor: self.floor,
            clocks: made.clocks.take_changes(),
            left_out: made.left_out.take_changes(),
            log_time: newest,
        };
        drop(made);
        (self.bytes, self.committed) = (0, self.floor);
        let shared = self.shared.clone();
        Ok(async move {
            // Nothing but repetitions: there is nothing to store.
            if changes.floor == changes.after {
                return Ok(changes.floor);
            }
            let to = &shared.committers;
            let (events, lines, orders, quarantine) = tokio::join!(
                to.silver_events.commit(events, newest),
                to.order_lines.commit(lines, newest),
                to.orders.commit(orders, newest),
                to.quarantine.commit(quarantine, newest),
            );
            events.and(lines).and(orders).and(quarantine)?;
            // Behind the tables, so that it is never ahead of them.
            match shared.store_breaker.call(answered(shared.store.move_on(&changes))).await? {
                true => Ok(changes.floor),
                false => Err(Error::Superseded(LakeUnit::Silver(partition))),
            }
        })
    }

    fn landed(&mut self, reached: u64) {
        self.made().left_out.committed(reached);
        self.silence = Instant::now() + LOOK_AFTER;
    }

    fn silence(&self) -> Option<Instant> {
        Some(self.silence)
    }

    async fn look_around(&mut self) -> Result<(), Error> {
        match self.is_cut_off().await? {
            true => self.ask_for_missing().await?,
            // It has come by another way than it was asked for.
            false => self.gap.close(),
        }
        self.silence = Instant::now() + LOOK_AFTER;
        Ok(())
    }
}
