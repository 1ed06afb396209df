//! Reading the log: take, read, evaluate, record, acknowledge.

use std::sync::Arc;

use tidemill_bus::{Bus, Delivery};
use tidemill_domain::{Partition, SharedClock};
use tidemill_events::{DeadLetter, Durable, EnrichedBatch, Message, MetricsUpdate, topology};
use tidemill_service::{Conditions, Context};
use tidemill_stage::{
    Checkpoint, DeadLetters, Disposition, Failure, Gap, Place, Progressing, Read, Steps, Work, consume, supervise,
};
use tidemill_store::{answered, refused};
use tokio::time::sleep_until;
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

/// What a consumer does with the messages it reads.
pub trait Stage: Send + Sync + 'static {
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

    /// The partition that it reads in the order of the log, if it does.
    fn partition(&self) -> Option<Partition> {
        None
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
            let starts_anywhere = self.floor == 0 || self.is_behind_dead;
            match Place::of(self.floor, batch.raw_prev, batch.raw_seq) {
                Place::Next => {}
                Place::Early if starts_anywhere => {}
                Place::Early => {
                    self.telemetry.early_batch();
                    self.is_broken = true;
                    continue;
                }
                // Evaluated before, and delivered again.
                Place::Repeated => continue,
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

    fn partition(&self) -> Option<Partition> {
        Some(self.partition)
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
    /// What is given up.
    pub dead_letters: Arc<DeadLetters>,
    /// Why consumers cannot go on.
    pub consumers: Conditions<String>,
    /// Which partitions miss batches.
    pub gaps: Conditions<Partition>,
    /// The outbox.
    pub wake: Wake,
    /// What awaits a new alert: to be sent, or nothing without a webhook.
    pub notification: Notification,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
}

/// A consumer of the log.
pub struct Reader<S> {
    session: Session,
    durable: Durable,
    stage: S,
}

impl<S: Stage> Reader<S> {
    /// A reader of `durable`.
    pub fn new(session: &Session, durable: Durable, stage: S) -> Self {
        Self { session: session.clone(), durable, stage }
    }

    /// Reads until the unit is given back; a server that is away is waited for.
    /// What leaves the unit's memory in doubt is returned.
    pub async fn run(self) -> Result<(), Error> {
        let Session { stop, consumers, .. } = self.session.clone();
        let name = self.durable.name();
        supervise(self, name, &stop, &consumers).await
    }
}

impl<S: Stage> Work for Reader<S> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Session { bus, dependencies, stop, gaps, .. } = self.session.clone();
        // Opening takes what is unacknowledged away from whoever has it: not
        // once the unit is another's.
        let open = stop.run_until_cancelled(dependencies.nats.call(bus.subscribe(self.durable))).await;
        let Some(subscription) = open else { return Ok(()) };
        let mut subscription = subscription?;
        self.stage.look_back(&bus, self.durable).await?;
        progress.opened();
        let gap = self.stage.partition().map(|partition| Gap::none(partition, gaps));
        let mut open = ReaderTask { reader: self, gap, changes: Changes::default() };
        open.ask_for_missing().await?;
        consume(&mut subscription, &mut open, &stop, progress).await
    }

    /// Its own connection is all that a reader opens anew: what its stage has in
    /// memory is the unit's.
    fn disposition(&self, error: &Error) -> Disposition {
        match error {
            Error::Bus(_) | Error::Ceiling(_) => error.disposition(),
            _ => Disposition::Fail,
        }
    }

    fn failed(&mut self, error: &Error) {
        self.session.telemetry.consumer_failed(&self.durable.name(), error);
    }
}

/// A consumer in work.
struct ReaderTask<'r, S> {
    reader: &'r mut Reader<S>,
    /// What is missing and asked for; `None` where nothing can be.
    gap: Option<Gap>,
    /// Evaluated, and not recorded yet.
    changes: Changes,
}

/// It is time to ask again for what is missing.
struct AskAgain;

impl<S: Stage> Steps for ReaderTask<'_, S> {
    type Message = S::Message;
    type Error = Error;
    type Event = AskAgain;
    /// Parts of the step that the store refused.
    type Landed = usize;

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// It keeps none of the others back.
    async fn unreadable(&mut self, delivery: &Delivery, error: tidemill_bus::Error) -> Result<(), Error> {
        let Session { dead_letters, .. } = &self.reader.session;
        let error = Error::from(error);
        dead_letters.admit(1, 1)?;
        let stream = self.reader.durable.stream();
        let name = format!("{stream}-{}", delivery.sequence);
        let letter = dead_letters.letter_of(&name, delivery, error.code(), error.to_string());
        self.reader.give_up(DeadLetter { stream: Some(stream.to_string()), ..letter }, error.code()).await
    }

    async fn apply(&mut self, read: Vec<Read<S::Message>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        let Session { telemetry, dead_letters, .. } = &self.reader.session;
        telemetry.chunk(read.len());
        let mut messages = Vec::with_capacity(read.len());
        for Read { delivery, message } in read {
            if message.is_some() {
                // One that can be read is no reason to halt.
                dead_letters.admit(1, 0)?;
            }
            messages.push(message);
            applied.push(delivery);
        }
        self.changes = self.reader.stage.evaluate(messages);
        self.ask_for_missing().await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<usize, Error>, Error> {
        let changes = std::mem::take(&mut self.changes);
        Ok(Checkpoint::Landed(self.reader.record(&changes).await?))
    }

    fn landed(&mut self, set_aside: usize) -> Result<(), Error> {
        if set_aside > 0 { Err(Error::SetAside(set_aside)) } else { Ok(()) }
    }

    async fn event(&mut self) -> AskAgain {
        match self.gap.as_ref().and_then(Gap::due) {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        AskAgain
    }

    async fn handle(&mut self, _: AskAgain) -> Result<(), Error> {
        self.ask_for_missing().await
    }
}

impl<S: Stage> ReaderTask<'_, S> {
    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        let Some(gap) = &mut self.gap else { return Ok(()) };
        let Session { bus, dependencies, telemetry, .. } = &self.reader.session;
        match self.reader.stage.missing() {
            None => gap.close(),
            Some(Missing { partition, after }) => {
                if gap.ask(bus, &dependencies.nats, after).await? {
                    telemetry.gap(partition, after);
                }
            }
        }
        Ok(())
    }
}

impl<S: Stage> Reader<S> {
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
            self.give_up_part(&changes.with(&[*part]), why).await?;
        }
        let kept: Vec<usize> = (0..changes.parts()).filter(|part| !refused.contains(part)).collect();
        self.commit(&changes.with(&kept)).await?;
        Ok(refused.len())
    }

    /// Puts a part of a step among the dead letters.
    async fn give_up_part(&self, part: &Changes, why: &tidemill_store::Error) -> Result<(), Error> {
        const CODE: &str = "store_refused";
        let Session { dead_letters, context, .. } = &self.session;
        let (name, body) = name_and_body(part);
        dead_letters.admit(1, 1)?;
        let letter = dead_letters.letter(&format!("refused-{name}"), CODE, why.to_string(), 0).about(body.into());
        let letter = DeadLetter {
            stream: Some(self.durable.stream().to_string()),
            sequence: None,
            first_failed_at: context.clock.now(),
            ..letter
        };
        self.give_up(letter, CODE).await
    }

    async fn give_up(&self, letter: DeadLetter, code: &'static str) -> Result<(), Error> {
        self.session.dead_letters.store(&letter).await?;
        self.session.telemetry.dead_letter(code, self.durable.stream(), letter.sequence.unwrap_or(0), &letter.reason);
        Ok(())
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
