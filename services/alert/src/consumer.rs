//! Reading the log: take, read, evaluate, record, acknowledge.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tidemill_bus::{Bus, Delivery, Subscription, ack_all};
use tidemill_domain::{Partition, SharedClock};
use tidemill_events::{DeadLetter, Durable, EnrichedBatch, Events, Message, MetricsUpdate, topology};
use tidemill_service::{Ceiling, CeilingReached, Condition, Conditions, Context};
use tidemill_store::{answered, refused};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    dependencies::{Dependencies, until_done},
    error::Error,
    event_rules::EventRules,
    metric_rules::MetricRules,
    notify::Wake,
    store::{CellKey, Changes, Claim, Notification, Progress, Store},
    telemetry::Telemetry,
};

/// Messages of one step, and so of one transaction.
const CHUNK: usize = 32;
/// What a dead letter keeps of its body: with its headers it has to fit a message.
const DEAD_LETTER_BYTES: usize = 256 << 10;
/// How often enrichment is asked for what is missing, until it comes.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What a consumer does with the messages it reads.
pub trait Stage: Send + 'static {
    /// What it reads.
    type Message: Message + Send;

    /// Evaluates messages, in the order of the stream; `None` is one that could
    /// not be read and was given up. What it answers is recorded before
    /// anything else happens.
    fn evaluate(&mut self, messages: Vec<Option<Self::Message>>) -> Changes;

    /// Looks for what is missing and will not show in any message, once the
    /// consumer is open.
    fn look_back(&mut self, _: &Bus, _: Durable) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// What has to come before it can go on.
    fn missing(&self) -> Option<Missing> {
        None
    }
}

/// Batches of a partition that `ENRICHED` does not have any more, as after a
/// crash of its server's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub partition: Partition,
    /// The `RAW` sequence behind which they are.
    pub after: u64,
}

/// Event rules over one partition of `ENRICHED`.
pub struct EventStage {
    rules: Arc<EventRules>,
    partition: Partition,
    /// The `RAW` sequence up to which it is done; 0 for nothing yet.
    floor: u64,
    /// Whether there are batches behind the floor, and not the next one.
    is_broken: bool,
    /// Whether the last message was given up: then the next batch is not the
    /// successor of any that was read.
    is_behind_dead: bool,
    clock: SharedClock,
    telemetry: Arc<Telemetry>,
}

impl EventStage {
    /// Goes on behind `floor`; the rules are those of all partitions.
    pub fn new(
        rules: Arc<EventRules>,
        partition: Partition,
        floor: u64,
        clock: SharedClock,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self { rules, partition, floor, is_broken: false, is_behind_dead: false, clock, telemetry }
    }
}

impl Stage for EventStage {
    type Message = EnrichedBatch;

    /// A batch whose predecessor has not come is passed over, and will come
    /// again behind it. The first one ever starts anywhere: what was before is
    /// older than this service. So does one behind a message that was given up:
    /// enrichment would make the same of it once more.
    fn evaluate(&mut self, batches: Vec<Option<EnrichedBatch>>) -> Changes {
        let mut changes = Changes::default();
        for batch in batches {
            let Some(batch) = batch else {
                self.is_behind_dead = true;
                continue;
            };
            // At or below the floor: evaluated before, and delivered again.
            if batch.raw_seq <= self.floor {
                continue;
            }
            if self.floor > 0 && batch.raw_prev > self.floor && !self.is_behind_dead {
                self.telemetry.early_batch();
                self.is_broken = true;
                continue;
            }
            self.rules.apply(&batch, self.clock.now(), &mut changes);
            self.floor = batch.raw_seq;
            (self.is_broken, self.is_behind_dead) = (false, false);
            let progress = Progress { raw_seq: batch.raw_seq, watermark: None, as_of: Some(batch.ingested_at) };
            changes.progress.insert(self.partition, progress);
        }
        changes
    }

    /// An earlier owner may have passed over what came early, and not have
    /// lived to see the rest.
    async fn look_back(&mut self, bus: &Bus, durable: Durable) -> Result<(), Error> {
        if self.floor > 0 && bus.lag(durable).await? == 0 {
            match bus.last::<EnrichedBatch>(&topology::enriched(self.partition)).await {
                Ok(last) => self.is_broken |= last.is_some_and(|last| last.message.raw_seq > self.floor),
                // It is set aside when it is read.
                Err(tidemill_bus::Error::Decode(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn missing(&self) -> Option<Missing> {
        self.is_broken.then_some(Missing { partition: self.partition, after: self.floor })
    }
}

/// Metric rules over `METRICS`.
pub struct MetricStage {
    /// The rules and their windows.
    pub rules: MetricRules,
    /// What time it is.
    pub clock: SharedClock,
}

impl Stage for MetricStage {
    type Message = MetricsUpdate;

    fn evaluate(&mut self, updates: Vec<Option<MetricsUpdate>>) -> Changes {
        let updates: Vec<MetricsUpdate> = updates.into_iter().flatten().collect();
        self.rules.apply(&updates, self.clock.now())
    }
}

/// What the readers of one unit share, from its take-over to its end.
#[derive(Clone)]
pub struct Session {
    /// The service's.
    pub context: Context,
    /// The log.
    pub bus: Bus,
    /// The store.
    pub store: Store,
    /// The unit, and this take-over of it.
    pub claim: Claim,
    /// Cancelled when the unit is to be given back.
    pub stop: CancellationToken,
    /// What may be away.
    pub dependencies: Dependencies,
    /// How many messages may be given up.
    pub ceiling: Arc<Mutex<Ceiling>>,
    /// Which consumers have halted at it.
    pub halted: Conditions<String>,
    /// Which partitions miss batches.
    pub gaps: Conditions<Partition>,
    /// The outbox.
    pub wake: Wake,
    /// What awaits a new alert: to be sent, or nothing without a webhook.
    pub notification: Notification,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
}

impl Session {
    /// Takes note of one more message, of which `dead` (0 or 1) are to be given
    /// up.
    fn admit(&self, dead: u64) -> Result<(), CeilingReached> {
        self.ceiling.lock().unwrap_or_else(PoisonError::into_inner).admit(1, dead)
    }
}

/// A consumer of the log.
pub struct Reader<S> {
    session: Session,
    durable: Durable,
    stage: S,
    /// What is missing and asked for, and when to ask again.
    asked: Option<(Instant, Condition<Partition>)>,
}

impl<S: Stage> Reader<S> {
    /// A reader of `durable`.
    pub fn new(session: &Session, durable: Durable, stage: S) -> Self {
        Self { session: session.clone(), durable, stage, asked: None }
    }

    /// Reads until the unit is given back; a server that is away is waited for.
    pub async fn run(mut self) -> Result<(), Error> {
        let Session { bus, dependencies, stop, .. } = self.session.clone();
        // Opening takes what is unacknowledged away from whoever has it: not
        // once the unit is another's.
        while !stop.is_cancelled() {
            let subscription = until_done(&dependencies.nats, &stop, || bus.subscribe(self.durable)).await?;
            match self.read(subscription).await {
                Err(error) if error.is_transient() => dependencies.nats.trip(error),
                ended => return ended,
            }
        }
        Ok(())
    }

    async fn read(&mut self, mut subscription: Subscription) -> Result<(), Error> {
        self.stage.look_back(&self.session.bus, self.durable).await?;
        loop {
            self.ask_for_missing().await?;
            let Some(deliveries) = self.take(&mut subscription).await? else { return Ok(()) };
            let messages = self.decode(&deliveries).await?;
            let changes = self.stage.evaluate(messages);
            let set_aside = self.record(&changes).await?;
            ack_all(&deliveries).await?;
            if set_aside > 0 {
                return Err(Error::SetAside(set_aside));
            }
        }
    }

    /// The next messages, none when it is time to ask for what is missing;
    /// `None` when the unit is to be given back.
    async fn take(&self, subscription: &mut Subscription) -> Result<Option<Vec<Delivery>>, Error> {
        let due = self.asked.as_ref().map(|(due, _)| *due);
        tokio::select! {
            biased;
            () = self.session.stop.cancelled() => Ok(None),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Ok(Some(Vec::new())),
            chunk = subscription.next_chunk(CHUNK) => Ok(Some(chunk?)),
        }
    }

    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        let Some(Missing { partition, after }) = self.stage.missing() else {
            self.asked = None;
            return Ok(());
        };
        let now = Instant::now();
        if self.asked.as_ref().is_none_or(|(due, _)| *due <= now) {
            self.asked = None;
            let reason = format!("the batch behind {after} of RAW is missing; enrichment is asked for it");
            self.asked = Some((now + ASK_AGAIN, self.session.gaps.hold(partition, reason)));
            self.session.telemetry.gap(partition, after);
            self.session.bus.ask_again(partition, after).await?;
        }
        Ok(())
    }

    /// The messages in their type. One that cannot be read is given up, and
    /// keeps none of the others back.
    async fn decode(&self, deliveries: &[Delivery]) -> Result<Vec<Option<S::Message>>, Error> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        self.session.telemetry.chunk(deliveries.len());
        let mut messages = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match delivery.decode::<S::Message>() {
                Ok(message) => {
                    // One that can be read is no reason to halt.
                    let _ = self.session.admit(0);
                    messages.push(Some(message));
                }
                Err(error) => {
                    self.give_up(delivery, error.into()).await?;
                    messages.push(None);
                }
            }
        }
        Ok(messages)
    }

    async fn give_up(&self, delivery: &Delivery, error: Error) -> Result<(), Error> {
        let Session { bus, dependencies, stop, telemetry, .. } = &self.session;
        let stream = self.durable.stream();
        self.admit_dead(&error.to_string()).await?;
        let letter = DeadLetter {
            id: format!("alert-{stream}-{}", delivery.sequence),
            reason: error.to_string(),
            sequence: Some(delivery.sequence),
            deliveries: delivery.deliveries,
            ..self.letter(error.code(), delivery.payload())
        };
        until_done(&dependencies.nats, stop, || bus.publish(&letter)).await?;
        delivery.terminate().await?;
        telemetry.dead_letter(error.code(), stream, delivery.sequence, &letter.reason);
        Ok(())
    }

    /// State, alerts and position in one transaction. What the stage keeps in
    /// memory has moved on already, so this is tried until it succeeds, or
    /// until the unit ends and its memory with it. Answers how many parts had to
    /// be set aside, since the store will never hold them.
    async fn record(&self, changes: &Changes) -> Result<usize, Error> {
        if changes.is_empty() {
            return Ok(0);
        }
        match self.commit(changes).await {
            Err(Error::Store(error)) if error.is_refusal() => self.record_what_is_held(changes, &error).await,
            committed => committed.map(|()| 0),
        }
    }

    async fn commit(&self, changes: &Changes) -> Result<(), Error> {
        let Session { store, claim, wake, notification, telemetry, dependencies, stop, .. } = &self.session;
        let fresh =
            until_done(&dependencies.store, stop, || answered(store.commit(claim, changes, *notification))).await?;
        changes.alerts.iter().filter(|alert| fresh.contains(&alert.firing.id)).for_each(|a| telemetry.fired(&a.firing));
        if !fresh.is_empty() {
            wake.fired();
        }
        Ok(())
    }

    /// Finds what the store refuses of a step, puts that among the dead letters
    /// and commits the rest.
    async fn record_what_is_held(&self, changes: &Changes, why: &tidemill_store::Error) -> Result<usize, Error> {
        let Session { store, claim, dependencies, stop, .. } = &self.session;
        let trial = |parts: Vec<usize>| {
            let some = changes.with(&parts);
            async move { until_done(&dependencies.store, stop, || answered(store.try_commit(claim, &some))).await }
        };
        let is_refusal = |error: &Error| matches!(error, Error::Store(error) if error.is_refusal());
        let refused = refused(changes.parts(), trial, is_refusal).await?;
        for part in &refused {
            self.bury(&changes.with(&[*part]), why).await?;
        }
        let kept: Vec<usize> = (0..changes.parts()).filter(|part| !refused.contains(part)).collect();
        self.commit(&changes.with(&kept)).await?;
        Ok(refused.len())
    }

    /// Puts a part of a step among the dead letters.
    async fn bury(&self, part: &Changes, why: &tidemill_store::Error) -> Result<(), Error> {
        let (name, body) = name_and_body(part);
        let stream = self.durable.stream();
        self.admit_dead(&format!("the store refuses {name}")).await?;
        let letter = DeadLetter {
            id: format!("alert-refused-{name}"),
            reason: why.to_string(),
            ..self.letter("store_refused", body.into())
        };
        let Session { bus, dependencies, stop, telemetry, .. } = &self.session;
        until_done(&dependencies.nats, stop, || bus.publish(&letter)).await?;
        telemetry.dead_letter("store_refused", stream, 0, &letter.reason);
        Ok(())
    }

    /// Takes note of one more that is to be given up. At the ceiling it waits
    /// until the unit is given back.
    async fn admit_dead(&self, next: &str) -> Result<(), Error> {
        let Session { stop, halted, telemetry, .. } = &self.session;
        let Err(reached) = self.session.admit(1) else { return Ok(()) };
        let name = self.durable.name();
        let reason = format!("{reached}; the next one: {next}");
        telemetry.halted(&format!("{name}: {reason}"));
        let _condition = halted.hold(name, reason);
        stop.cancelled().await;
        Err(Error::Stopped)
    }

    fn letter(&self, code: &str, body: Bytes) -> DeadLetter {
        let Session { context, .. } = &self.session;
        DeadLetter {
            id: String::new(),
            service: context.service.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            code: code.into(),
            reason: String::new(),
            pointer: None,
            stream: Some(self.durable.stream().as_str().into()),
            sequence: None,
            deliveries: 1,
            first_failed_at: context.clock.now(),
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

/// What tells a part of a step from others, and the part itself as JSON.
fn name_and_body(part: &Changes) -> (String, Vec<u8>) {
    // What was read from JSON is JSON.
    let json = |value: Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default();
    let cell = part.cells.first_key_value();
    if let Some(alert) = part.alerts.first() {
        (format!("alert-{}", alert.firing.id), json(serde_json::to_vec(&alert.firing)))
    } else if let Some((CellKey { metric, version, start, dimensions, partition }, totals)) = cell {
        let body = json(serde_json::to_vec(&(metric, version, start, dimensions)));
        let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &body);
        (format!("cell-{hash}-{partition}-{}", totals.raw_seq), body)
    } else if let Some(seen) = &part.observations {
        (format!("observations-{}-{}", seen.partition, seen.raw_seq), json(serde_json::to_vec(&seen.entries)))
    } else {
        ("nothing".into(), Vec::new())
    }
}
