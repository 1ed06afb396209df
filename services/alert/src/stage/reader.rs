//! Reading the log: take, read, evaluate, record, acknowledge.

use std::time::Duration;

use tidemill_bus::{Bus, Delivery, Error as BusError, Subscription};
use tidemill_domain::Partition;
use tidemill_events::{Durable, Message};
use tidemill_stage::{
    Checkpoint, Disposition, Failure, Gap, LoadPace, OfLog, Progressing, Read, Steps, Work, consume, supervise,
};
use tokio::time::{Instant, sleep_until};

use super::open_unit::OpenUnit;
use crate::{app::App, error::Error, state::StepChanges};

/// Messages of one step, and so of one transaction.
const CHUNK: usize = 64;

/// What a reader does with the messages it reads.
pub(super) trait Stage: Send + Sync + 'static {
    /// What it reads.
    type Message: Message + Send;

    /// Evaluates messages, in the order of the stream; `None` is one that could
    /// not be read and was given up. What it answers is recorded before
    /// anything else happens.
    fn evaluate(&mut self, messages: Vec<Option<Self::Message>>) -> StepChanges;

    /// Reads a message.
    fn decode(&self, delivery: &Delivery) -> Result<Self::Message, BusError> {
        delivery.decode()
    }

    /// Opens the consumer where it goes on.
    fn open(&self, bus: &Bus, durable: Durable) -> impl Future<Output = Result<OfLog<Subscription>, BusError>> + Send;

    /// The partition that it reads in the order of the log, if it does.
    fn partition(&self) -> Option<Partition> {
        None
    }

    /// For how long a step that brings no alert may wait for more.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// The pace of its steps, if they do not follow each other at once.
    fn pace(&self) -> Option<LoadPace> {
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
pub(super) struct Missing {
    pub(super) partition: Partition,
    /// The `RAW` sequence behind which they are.
    pub(super) after: u64,
}

/// A reader of one consumer of the log.
pub(super) struct RuleReader<S> {
    unit: OpenUnit,
    durable: Durable,
    stage: S,
}

impl<S: Stage> RuleReader<S> {
    pub(super) fn new(unit: &OpenUnit, durable: Durable, stage: S) -> Self {
        Self { unit: unit.clone(), durable, stage }
    }

    /// Reads until the unit is given back; a server that is away is waited for.
    /// What leaves the unit's memory in doubt is returned.
    pub(super) async fn run(self) -> Result<(), Error> {
        let OpenUnit { app, stop, .. } = self.unit.clone();
        let name = self.durable.name();
        supervise(self, name, &stop, &app.consumers).await
    }
}

impl<S: Stage> Work for RuleReader<S> {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let OpenUnit { app, stop, .. } = self.unit.clone();
        let App { bus, dependencies, gaps, .. } = &*app;
        // Opening takes unacknowledged messages away from whoever has them. So
        // it is not done once the unit is another's.
        let open = stop.run_until_cancelled(dependencies.nats.call(self.stage.open(bus, self.durable))).await;
        let Some(subscription) = open else { return Ok(()) };
        let mut subscription = subscription?;
        progress.opened();
        let gap = self.stage.partition().map(|partition| Gap::none(partition, gaps.clone()));
        let (pace, now) = (self.stage.pace(), Instant::now());
        let changes = StepChanges::default();
        let mut open = ReaderTask { reader: self, gap, changes, begun: now, is_full: false, recorded_at: now, pace };
        open.ask_for_missing().await?;
        consume(&mut subscription, &mut open, &stop, progress).await
    }

    /// A reader opens only its own connection anew. What its stage has in memory
    /// belongs to the unit.
    fn disposition(&self, error: &Error) -> Disposition {
        match error {
            Error::Bus(_) | Error::Ceiling(_) => error.disposition(),
            _ => Disposition::Fail,
        }
    }

    fn failed(&mut self, error: &Error) {
        self.unit.app.telemetry.consumer_failed(&self.durable.name(), error);
    }
}

/// A reader at work.
struct ReaderTask<'r, S> {
    reader: &'r mut RuleReader<S>,
    /// What is missing and asked for; `None` for a stage that reads no partition
    /// in order.
    gap: Option<Gap>,
    /// Evaluated, and not recorded yet.
    changes: StepChanges,
    /// When the last messages came, and whether there were as many as a step takes.
    begun: Instant,
    is_full: bool,
    /// When something was last recorded.
    recorded_at: Instant,
    pace: Option<LoadPace>,
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

    fn decode(&self, delivery: &Delivery) -> Result<S::Message, BusError> {
        self.reader.stage.decode(delivery)
    }

    /// An alert does not wait. Whatever else a step changes comes to the same if its
    /// messages are read once more after a crash, and costs less if it is written with
    /// that of others.
    fn waits_until(&self) -> Option<Instant> {
        self.changes.may_wait().then(|| self.recorded_at + self.reader.stage.patience())
    }

    fn rests_until(&self) -> Option<Instant> {
        self.pace.map(|pace| pace.until())
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    /// It is given up, and holds no other message back.
    async fn unreadable(&mut self, delivery: &Delivery, error: BusError) -> Result<(), Error> {
        let unit = &self.reader.unit;
        let error = Error::from(error);
        unit.dead_letters.admit(1, 1)?;
        let name = format!("{}-{}", unit.stream, delivery.sequence);
        let letter = unit.dead_letters.letter_of(&name, delivery, error.code(), error.to_string());
        unit.give_up(letter, error.code()).await
    }

    async fn apply(&mut self, read: Vec<Read<S::Message>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        (self.begun, self.is_full) = (Instant::now(), read.len() == CHUNK);
        let OpenUnit { app, dead_letters, .. } = &self.reader.unit;
        app.telemetry.chunk(read.len());
        let mut messages = Vec::with_capacity(read.len());
        for Read { delivery, message } in read {
            if message.is_some() {
                // One that can be read is no reason to halt.
                dead_letters.admit(1, 0)?;
            }
            messages.push(message);
            applied.push(delivery);
        }
        self.changes.extend(self.reader.stage.evaluate(messages));
        self.ask_for_missing().await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<usize, Error>, Error> {
        let changes = std::mem::take(&mut self.changes);
        self.recorded_at = Instant::now();
        let set_aside = self.reader.unit.record(&changes).await?;
        match &mut self.pace {
            Some(pace) if self.is_full => pace.hurry(),
            Some(pace) => pace.done(self.begun),
            None => {}
        }
        Ok(Checkpoint::Landed(set_aside))
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
        let App { bus, dependencies, telemetry, .. } = &*self.reader.unit.app;
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
