//! One partition's consumer: enriched batches in, totals out.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Bus, Delivery, Subscription, ack_all};
use tidemill_definitions::Metrics;
use tidemill_domain::{Backoff, Partition};
use tidemill_events::{Durable, EnrichedBatch, RawBatch, topology};
use tidemill_metrics_store::MetricsStore;
use tidemill_ownership::Lease;
use tidemill_service::{Ceiling, CeilingConfig, Conditions, Context};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::Windows,
    error::{Disposition, Error},
    flush::{Outlet, Published, flush, publish_lost, write_stale_points},
    outlet::{Following, NatsOutlet},
    owner::{Owner, Taken},
    store::Store,
    telemetry::Telemetry,
};

/// Batches that are applied, and in no snapshot yet, at most.
const MAX_WAITING: usize = 64;
/// How long a partition that is given back may take for its step in hand.
const PARTING: Duration = Duration::from_millis(1500);
/// How often to ask for batches that are missing.
const ASK_EVERY: Duration = Duration::from_secs(10);
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
    pub(crate) conditions: Conditions<Partition>,
}

/// Reads one partition of `ENRICHED` in order, for as long as it has the lease.
pub(crate) struct PartitionConsumer {
    partition: Partition,
    lease: Lease<Partition>,
    shared: Arc<Shared>,
    ceiling: Ceiling,
    backoff: Backoff,
    /// The store has refused something in the batches up to this one: they are
    /// taken one by one, and each is tried out before anybody is told of it.
    careful_to: u64,
}

impl PartitionConsumer {
    pub(crate) fn new(shared: Arc<Shared>, lease: Lease<Partition>) -> Self {
        let ceiling = Ceiling::new(shared.ceiling);
        Self { partition: lease.unit(), lease, shared, ceiling, backoff: Backoff::new(), careful_to: 0 }
    }

    /// Consumes until the partition is to be given back.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let stop = self.lease.stop().clone();
        let parting = async {
            stop.cancelled().await;
            sleep(PARTING).await;
        };
        let done = tokio::select! {
            done = self.consume() => done,
            // A dependency that is away must not hold the partition back:
            // whoever takes it starts from the last checkpoint.
            () = parting => Ok(()),
        };
        self.shared.conditions.clear(&self.partition);
        self.shared.telemetry.forget(self.partition);
        done
    }

    /// What may come back is waited for: the partition starts over from its
    /// last checkpoint.
    async fn consume(&mut self) -> Result<(), Error> {
        let stop = self.lease.stop().clone();
        while !stop.is_cancelled() {
            let Err(error) = self.work().await else { break };
            if stop.is_cancelled() {
                break;
            }
            let Shared { telemetry, conditions, .. } = &*self.shared;
            telemetry.failed(self.partition, &error);
            match error.disposition() {
                Disposition::Retry | Disposition::SetAside => conditions.set(self.partition, error.to_string()),
                Disposition::Halt => {
                    conditions.set(self.partition, error.to_string());
                    stop.cancelled().await;
                }
                Disposition::Fail => return Err(error),
            }
            tokio::select! {
                () = sleep(self.backoff.failed()) => {}
                () = stop.cancelled() => break,
            }
        }
        Ok(())
    }

    /// Opens the partition and works on it until it fails or is to be given
    /// back.
    async fn work(&mut self) -> Result<(), Error> {
        // Who is paused loses the lease without knowing. Claiming then would
        // only take the partition from its rightful owner.
        while !self.lease.is_held() {
            tokio::select! {
                () = sleep(Backoff::FIRST) => {}
                () = self.lease.stop().cancelled() => return Ok(()),
            }
        }
        let mut desk = Desk::open(self).await?;
        let mut subscription = desk.subscribe().await?;
        desk.careful_to = self.careful_to;
        let done = desk.go(&mut subscription, &mut self.ceiling, &mut self.backoff).await;
        if let Err(error) = &done {
            if error.is_refusal() {
                self.careful_to = self.careful_to.max(desk.met);
            }
            // What is on its way to the store may well arrive.
            let _ = desk.land().await;
        }
        done
    }
}

/// A partition in work: batches are applied while what changed before them is
/// being published and kept.
struct Desk {
    partition: Partition,
    lease: Lease<Partition>,
    shared: Arc<Shared>,
    owner: Owner,
    /// Applied, and to be acknowledged once that is kept.
    waiting: Vec<Delivery>,
    /// Here or with the flight: so no two snapshots are ever on their way.
    outlet: Option<Box<NatsOutlet>>,
    flight: Option<Flight>,
    /// When batches that are missing were last asked for.
    asked_at: Option<Instant>,
    looked_at: Instant,
    /// When the last batch came.
    heard_at: Instant,
    announced_idle: bool,
    /// See [`PartitionConsumer::careful_to`].
    careful_to: u64,
    /// The last batch that was looked at.
    met: u64,
}

/// A snapshot on its way to readers and into the store.
struct Flight {
    task: AbortOnDropHandle<Result<Box<NatsOutlet>, Error>>,
    floor: u64,
    batches: usize,
    begun: Instant,
}

/// What happens next at a [`Desk`].
enum Event {
    Batches(Vec<Delivery>),
    Landed(Flight, Box<NatsOutlet>),
    Silence,
    Stop,
}

impl Desk {
    /// Claims the partition, and publishes again what METRICS has lost of it.
    async fn open(consumer: &PartitionConsumer) -> Result<Self, Error> {
        let PartitionConsumer { partition, lease, shared, .. } = consumer;
        let now = shared.context.clock.now();
        let (store, metrics, windows) = (shared.store.clone(), shared.metrics.clone(), shared.windows.clone());
        let owner = Owner::open(store, metrics, windows, *partition, now).await?;
        let nats = shared.context.breaker("nats");
        let tail = readable(nats.call(shared.bus.last::<Following>(&topology::metrics(*partition))).await)?;
        let mut outlet = NatsOutlet {
            bus: shared.bus.clone(),
            nats,
            metrics_store: shared.metrics_store.clone(),
            metrics_breaker: shared.context.breaker("metrics_store"),
            lease: lease.clone(),
            telemetry: shared.telemetry.clone(),
            tail: tail.as_ref().map_or(0, |tail| tail.sequence),
        };
        let tail = tail.map(|tail| tail.message.totals);
        publish_lost(&mut outlet, &shared.store, &owner.claim, &owner.position(now), tail.as_ref()).await?;
        Ok(Self {
            partition: *partition,
            lease: lease.clone(),
            shared: shared.clone(),
            owner,
            waiting: Vec::new(),
            outlet: Some(Box::new(outlet)),
            flight: None,
            asked_at: None,
            looked_at: Instant::now() - LOOK_EVERY,
            heard_at: Instant::now(),
            announced_idle: false,
            careful_to: 0,
            met: 0,
        })
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let Shared { context, bus, .. } = &*self.shared;
        Ok(context.breaker("nats").call(bus.subscribe(Durable::Aggregation(self.partition))).await?)
    }

    /// The recipe: apply what comes, and send off what changed whenever the
    /// last snapshot has landed.
    async fn go(
        &mut self,
        subscription: &mut Subscription,
        ceiling: &mut Ceiling,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        let mut silence = Instant::now() + FIRST_LOOK;
        loop {
            self.send_off();
            match self.next(subscription, silence).await? {
                Event::Batches(deliveries) => {
                    self.take(deliveries, ceiling).await?;
                    (self.heard_at, self.announced_idle) = (Instant::now(), false);
                    silence = Instant::now() + self.idle_after();
                }
                Event::Landed(flight, outlet) => {
                    self.landed(flight, outlet);
                    backoff.succeeded();
                }
                Event::Silence => {
                    self.look_around().await?;
                    silence = Instant::now() + self.idle_after();
                }
                Event::Stop => break,
            }
        }
        // The step in hand, so that whoever comes next need not repeat it.
        self.land().await?;
        self.send_off();
        self.land().await
    }

    async fn next(&mut self, subscription: &mut Subscription, silence: Instant) -> Result<Event, Error> {
        let room = match self.is_careful() {
            // One at a time, with everything before it in the store.
            true => usize::from(self.waiting.is_empty() && self.flight.is_none()),
            false => MAX_WAITING - self.waiting.len(),
        };
        let is_quiet = self.outlet.is_some() && self.waiting.is_empty();
        tokio::select! {
            landed = land(&mut self.flight), if self.flight.is_some() => landed,
            deliveries = subscription.next_chunk(room), if room > 0 => Ok(Event::Batches(deliveries?)),
            () = sleep_until(silence), if is_quiet => Ok(Event::Silence),
            () = self.lease.stop().cancelled() => Ok(Event::Stop),
        }
    }

    /// Applies batches in the order of the log. What is passed over because one
    /// before it is missing will come again behind that one.
    async fn take(&mut self, deliveries: Vec<Delivery>, ceiling: &mut Ceiling) -> Result<(), Error> {
        let mut early = Vec::new();
        for delivery in deliveries {
            // Enrichment alone writes batches, so one that cannot be read is
            // of another release, or a fault of ours: the partition waits, and
            // nothing is lost.
            let mut batch: EnrichedBatch = delivery.decode().map_err(Error::Unreadable)?;
            let now = self.shared.context.clock.now();
            self.met = self.met.max(batch.raw_seq);
            if self.is_careful() && self.owner.is_next(&batch) {
                batch = self.owner.without_refused(&batch, ceiling, now).await?;
            }
            let mut taken = self.owner.take(&batch, ceiling, now).await?;
            if taken == Taken::Early && self.owner.state.floor == 0 && !self.log_has(batch.raw_prev).await? {
                self.owner.start_behind(batch.raw_prev);
                taken = self.owner.take(&batch, ceiling, now).await?;
            }
            match taken {
                Taken::Applied(outcomes) => {
                    self.shared.telemetry.counted(outcomes);
                    self.asked_at = None;
                    self.waiting.push(delivery);
                }
                // Of a batch that is applied and not kept yet, this may be a
                // second copy: it is acknowledged behind the same checkpoint.
                Taken::Repeated => self.waiting.push(delivery),
                Taken::Early => early.push(delivery),
            }
        }
        if !early.is_empty() {
            self.ask_again().await?;
            ack_all(&early).await?;
        }
        Ok(())
    }

    fn is_careful(&self) -> bool {
        self.owner.state.floor < self.careful_to
    }

    /// Whether the log still has a batch. With nothing applied, the first batch
    /// that comes is the start, unless enrichment can make the one before it.
    async fn log_has(&self, raw_seq: u64) -> Result<bool, Error> {
        let Shared { context, bus, .. } = &*self.shared;
        let raw = context.breaker("nats").call(bus.message_at::<RawBatch>(raw_seq)).await?;
        Ok(raw.is_some())
    }

    /// Asks enrichment for everything behind the floor.
    async fn ask_again(&mut self) -> Result<(), Error> {
        if self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return Ok(());
        }
        let Shared { context, bus, telemetry, conditions, .. } = &*self.shared;
        let floor = self.owner.state.floor;
        telemetry.asked_again(self.partition, floor);
        conditions.set(
            self.partition,
            format!("the batches of the log behind {floor} are missing; enrichment is asked to publish them again"),
        );
        context.breaker("nats").call(bus.ask_again(self.partition, floor)).await?;
        self.asked_at = Some(Instant::now());
        Ok(())
    }

    /// Sends what changed on its way, if nothing else is.
    fn send_off(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(mut outlet) = self.outlet.take() else { return };
        let changes = self.owner.take_changes(self.shared.context.clock.now());
        let deliveries = std::mem::take(&mut self.waiting);
        let (shared, claim) = (self.shared.clone(), self.owner.claim);
        let looks = self.looked_at.elapsed() >= LOOK_EVERY;
        let (floor, batches) = (changes.floor, deliveries.len());
        let task = tokio::spawn(async move {
            let Shared { store, metrics, .. } = &*shared;
            // Nothing but repetitions: there is nothing to keep.
            if changes.floor > changes.after {
                flush(&mut *outlet, store, &claim, metrics, &changes).await?;
            }
            ack_all(&deliveries).await?;
            if looks {
                write_stale_points(&mut *outlet, store, &claim, metrics).await?;
            }
            Ok(outlet)
        });
        self.flight = Some(Flight { task: AbortOnDropHandle::new(task), floor, batches, begun: Instant::now() });
    }

    /// Waits for what is on its way.
    async fn land(&mut self) -> Result<(), Error> {
        if self.flight.is_some()
            && let Event::Landed(flight, outlet) = land(&mut self.flight).await?
        {
            self.landed(flight, outlet);
        }
        Ok(())
    }

    fn landed(&mut self, flight: Flight, outlet: Box<NatsOutlet>) {
        let Shared { telemetry, conditions, .. } = &*self.shared;
        self.outlet = Some(outlet);
        self.owner.state.committed(flight.floor);
        telemetry.kept(self.partition, flight.floor, flight.batches, flight.begun.elapsed());
        if self.looked_at.elapsed() >= LOOK_EVERY {
            telemetry.size(self.partition, self.owner.state.size());
            self.looked_at = Instant::now();
        }
        if self.asked_at.is_none() {
            conditions.clear(&self.partition);
        }
    }

    /// Nothing has come for a while, and nothing is on its way.
    async fn look_around(&mut self) -> Result<(), Error> {
        if self.is_cut_off().await? {
            self.ask_again().await?;
        } else if self.asked_at.is_none() {
            self.shared.conditions.clear(&self.partition);
        }
        let is_silent = self.heard_at.elapsed() >= self.idle_after();
        let Some(outlet) = &mut self.outlet else { return Ok(()) };
        let Shared { store, metrics, context, .. } = &*self.shared;
        write_stale_points(&mut **outlet, store, &self.owner.claim, metrics).await?;
        // A partition that hears nothing says once that it is idle, so that it
        // holds no window open; only once every source has fallen silent is
        // that final.
        if is_silent && !self.announced_idle {
            let position = self.owner.position(context.clock.now());
            self.announced_idle = position.idle;
            let after = position.raw_seq;
            outlet.totals(Published { update: position, after }).await?;
        }
        Ok(())
    }

    /// Whether `ENRICHED` ends behind the floor while nothing is left to be
    /// delivered: what was passed over, or lies where the consumer, after a
    /// crash of the server, believes to have been already.
    async fn is_cut_off(&self) -> Result<bool, Error> {
        let Shared { context, bus, .. } = &*self.shared;
        let look = async {
            let end = readable(bus.last::<EnrichedBatch>(&topology::enriched(self.partition)).await)?;
            Ok::<_, Error>((end, bus.lag(Durable::Aggregation(self.partition)).await?))
        };
        let (end, lag) = context.breaker("nats").call(look).await?;
        Ok(lag == 0 && end.is_some_and(|end| end.message.raw_seq > self.owner.state.floor))
    }

    fn idle_after(&self) -> Duration {
        Duration::from_secs(self.shared.windows.idle_after_seconds.into())
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

/// Waits for the snapshot on its way. Given up, it waits on the next call.
async fn land(flight: &mut Option<Flight>) -> Result<Event, Error> {
    let Some(under_way) = flight else { return std::future::pending().await };
    let landed = (&mut under_way.task).await;
    let done = flight.take();
    match (landed, done) {
        (Ok(outlet), Some(flight)) => Ok(Event::Landed(flight, outlet?)),
        (Ok(_), None) => std::future::pending().await,
        // Its panic is this task's own.
        (Err(join), _) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Superseded),
        },
    }
}
