//! What the owner of a partition keeps of it: the journal, profiles, and the floor.

use std::{sync::Arc, time::Duration};

use tidemill_bus::{Delivery, Error as BusError};
use tidemill_domain::{Backoff, Partition};
use tidemill_events::{Durable, EnrichedBatch};
use tidemill_ownership::Lease;
use tidemill_stage::{
    Checkpoint, Gap, LoadPace, LogPlace, Place, Progressing, Read, Steps, Work, consume, subscribe_in_order, supervise,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{batch, beside::beside};
use crate::{
    app::{HeldKeep, Recommender},
    error::Error,
    store::KeptStep,
};

/// Batches of one step, and so of one transaction.
const CHUNK: usize = 256;
/// How long it rests between two steps: each is a synced transaction, and for who reads a message
/// by itself a thread is woken.
const LEAST_REST: Duration = Duration::from_millis(250);
const MOST_REST: Duration = Duration::from_secs(1);
/// The same where only the floor moves: to read batches once more after a crash comes to
/// the same, and costs less than to write each floor down.
const PACE_OF_FLOORS: Duration = Duration::from_secs(5);

/// Keeps a partition until it is to be given back.
pub(crate) async fn keep(app: Arc<Recommender>, lease: Lease<Partition>) -> Result<(), Error> {
    let (partition, stop, conditions) = (lease.unit(), lease.stop().clone(), app.keepers.clone());
    let ended = supervise(Keeper { app: app.clone(), lease }, partition, &stop, &conditions).await;
    app.telemetry.forget(partition);
    ended
}

struct Keeper {
    app: Arc<Recommender>,
    lease: Lease<Partition>,
}

impl Work for Keeper {
    type Error = Error;

    async fn work(&mut self, progress: &mut Progressing<'_>) -> Result<(), Error> {
        let (app, partition, stop) = (&self.app, self.lease.unit(), self.lease.stop().clone());
        // Who is paused loses the lease without knowing. Claiming then would only take
        // the partition from its rightful owner.
        while !self.lease.is_held() {
            tokio::select! {
                () = sleep(Backoff::FIRST) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        let claim = app.store.claim(partition).await?;
        let durable = Durable::Recommendation(partition);
        let subscription = subscribe_in_order(&app.bus, durable, partition, LogPlace::at(claim.floor));
        let mut subscription = app.nats.call(subscription).await?;
        progress.opened();
        let mut task = KeeperTask {
            app: app.clone(),
            held: app.hold(claim),
            step: KeptStep { after: claim.floor, floor: claim.floor, batches: Vec::new() },
            kept_at: Instant::now(),
            pace: LoadPace::new(LEAST_REST, MOST_REST),
            is_full: false,
            gap: Gap::none(partition, app.gaps.clone()),
        };
        consume(&mut subscription, &mut task, &stop, progress).await
    }

    fn failed(&mut self, error: &Error) {
        self.app.telemetry.failed(self.lease.unit(), error);
    }
}

/// A partition that is being kept.
struct KeeperTask {
    app: Arc<Recommender>,
    held: HeldKeep,
    /// What was read, and is not kept yet.
    step: KeptStep,
    kept_at: Instant,
    pace: LoadPace,
    /// There was more to read than is read at once.
    is_full: bool,
    gap: Gap,
}

/// It is time to ask again for what is missing.
struct KeeperSilence;

impl Steps for KeeperTask {
    type Message = EnrichedBatch;
    type Error = Error;
    type Event = KeeperSilence;
    type Landed = ();

    fn room(&self, applied: usize, _: bool) -> usize {
        CHUNK.saturating_sub(applied)
    }

    fn decode(&self, delivery: &Delivery) -> Result<EnrichedBatch, BusError> {
        let members = &self.app.members;
        delivery.decode_with(|headers, body| EnrichedBatch::decode_if(headers, body, |types| members.are_about(types)))
    }

    fn waits_until(&self) -> Option<Instant> {
        Some(if self.step.batches.is_empty() { self.kept_at + PACE_OF_FLOORS } else { self.pace.until() })
    }

    fn rests_until(&self) -> Option<Instant> {
        Some(self.pace.until())
    }

    fn is_done(&self, _: u64) -> bool {
        false
    }

    async fn unreadable(&mut self, _: &Delivery, error: BusError) -> Result<(), Error> {
        Err(Error::Unreadable(error))
    }

    /// A batch whose predecessor has not come is passed over, and will come again behind
    /// it. The first one ever starts anywhere: what was before is older than this
    /// service.
    async fn apply(&mut self, read: Vec<Read<EnrichedBatch>>, applied: &mut Vec<Delivery>) -> Result<(), Error> {
        self.is_full = read.len() >= CHUNK;
        let (mut is_early, mut batches) = (false, Vec::new());
        for Read { delivery, message } in read {
            applied.push(delivery);
            let Some(batch) = message else { continue };
            match Place::of(self.step.floor, batch.raw_prev, batch.raw_seq) {
                Place::Repeated => continue,
                Place::Early if self.step.floor > 0 => {
                    is_early = true;
                    continue;
                }
                Place::Next | Place::Early => {}
            }
            self.step.floor = batch.raw_seq;
            self.gap.close();
            is_early = false;
            batches.push(batch);
        }
        let app = self.app.clone();
        let learnt = beside(move || {
            let learnt = batches.iter().map(|batch| batch::read(&app.members, batch).0);
            learnt.filter(|learnt| !learnt.events.is_empty()).collect::<Vec<_>>()
        });
        self.step.batches.extend(learnt.await?);
        if is_early { self.ask_for_missing().await } else { Ok(()) }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint<(), Error>, Error> {
        self.kept_at = Instant::now();
        if self.step.floor > self.step.after {
            self.app.store.keep(&self.held.claim, &self.step, self.app.now()).await?;
            match self.is_full {
                true => self.pace.hurry(),
                false => self.pace.done(self.kept_at),
            }
            self.step = KeptStep { after: self.step.floor, floor: self.step.floor, batches: Vec::new() };
        }
        Ok(Checkpoint::Landed(()))
    }

    fn landed(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn event(&mut self) -> KeeperSilence {
        match self.gap.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        KeeperSilence
    }

    async fn handle(&mut self, _: KeeperSilence) -> Result<(), Error> {
        self.ask_for_missing().await
    }
}

impl KeeperTask {
    async fn ask_for_missing(&mut self) -> Result<(), Error> {
        if self.gap.ask(&self.app.bus, &self.app.nats, self.step.floor).await? {
            self.app.telemetry.asked_again(self.held.claim.partition, self.step.floor);
        }
        Ok(())
    }
}
