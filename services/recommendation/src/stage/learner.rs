//! What every replica learns of a partition, into its memory alone.

use std::sync::Arc;

use tidemill_bus::{Delivery, Error as BusError};
use tidemill_domain::Partition;
use tidemill_events::{Durable, EnrichedBatch};
use tidemill_stage::{
    Checkpoint, Gap, LogPlace, Place, Progressing, Read, Steps, Work, consume, follow_in_order, supervise,
};
use tokio::time::{Instant, sleep_until};

use super::{batch, beside::beside};
use crate::{app::Recommender, error::Error, telemetry::ReadCounts};

/// Batches that are learnt before the next ones are asked for.
const CHUNK: usize = 64;

/// Learns a partition for as long as the service lives.
pub(crate) async fn learn(app: Arc<Recommender>, partition: Partition) -> Result<(), Error> {
    let (stop, conditions) = (app.context.shutdown.clone(), app.learners.clone());
    supervise(Learner { app, partition }, partition, &stop, &conditions).await
}

struct Learner {
    app: Arc<Recommender>,
    partition: Partition,
}

impl Work for Learner {
    type Error = Error;

    /// Goes on behind what is learnt: memory is never in doubt, whatever failed.
    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let Self { app, partition } = self;
        let floor = app.model.read().places.get(partition).map_or(0, |place| place.raw_seq);
        let durable = Durable::Recommendation(*partition);
        let done = LogPlace::at(floor);
        let subscription = follow_in_order(&app.bus, durable, &app.context.instance, *partition, done);
        let mut subscription = app.nats.call(subscription).await?;
        progress.opened();
        let gap = Gap::none(*partition, app.gaps.clone());
        let mut task = LearnerTask { app, partition: *partition, floor, gap };
        consume(&mut subscription, &mut task, &app.context.shutdown, progress).await
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.failed(self.partition, error);
    }
}

/// A partition that is being learnt.
struct LearnerTask<'a> {
    app: &'a Arc<Recommender>,
    partition: Partition,
    /// The last batch that is learnt.
    floor: u64,
    gap: Gap,
}

/// It is time to ask again for what is missing.
struct LearnerSilence;

impl Steps for LearnerTask<'_> {
    type Message = EnrichedBatch;
    type Error = Error;
    type Event = LearnerSilence;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn decode(&self, delivery: &Delivery) -> Result<EnrichedBatch, BusError> {
        let members = &self.app.members;
        delivery.decode_with(|headers, body| EnrichedBatch::decode_if(headers, body, |types| members.are_about(types)))
    }

    fn waits_until(&self) -> Option<Instant> {
        None
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, _: &Delivery, error: BusError) -> Result<(), Error> {
        Err(Error::Unreadable(error))
    }

    async fn apply(&mut self, read: Vec<Read<EnrichedBatch>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        let mut is_early = false;
        for Read { delivery, message } in read {
            applied.push(delivery);
            let Some(batch) = message else { continue };
            match Place::of(self.floor, batch.raw_prev, batch.raw_seq) {
                Place::Repeated => continue,
                Place::Early if self.floor > 0 => {
                    self.app.telemetry.early();
                    is_early = true;
                    continue;
                }
                Place::Next | Place::Early => {}
            }
            // While the store is away this waits. Answers are given meanwhile, of what is learnt.
            self.app.erasures.cover(batch.ingested_at, self.app.now()).await;
            self.learn(batch).await?;
            self.gap.close();
            is_early = false;
        }
        if is_early { self.ask_for_missing().await } else { Ok(()) }
    }

    /// There is nothing to write: the log and the owner's journal have it all.
    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn event(&mut self) -> LearnerSilence {
        match self.gap.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        LearnerSilence
    }

    async fn handle(&mut self, _: LearnerSilence) -> Result<(), Error> {
        self.ask_for_missing().await
    }
}

impl LearnerTask<'_> {
    /// Who learns waits for those who answer, and would hold up a thread of theirs.
    async fn learn(&mut self, batch: EnrichedBatch) -> Result<(), Error> {
        let (app, partition, raw_seq) = (self.app.clone(), self.partition, batch.raw_seq);
        beside(move || {
            app.members.note(batch.count, batch.types.as_ref());
            let (learnt, counts): (_, ReadCounts) = batch::read(&app.members, &batch);
            // What is learnt anew was evaluated before.
            let is_new = || app.model.read().places.get(&partition).is_none_or(|place| raw_seq > place.anew_to);
            if app.evaluation.is_wanted() && app.keeps(partition) && is_new() {
                app.evaluation.predict(&app.model, partition, &learnt);
            }
            app.model.learn(partition, &learnt);
            app.telemetry.learnt(partition, raw_seq, counts);
        })
        .await?;
        self.floor = raw_seq;
        Ok(())
    }

    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        if self.gap.ask(&self.app.bus, &self.app.nats, self.floor).await? {
            self.app.telemetry.asked_again(self.partition, self.floor);
        }
        Ok(())
    }
}
