//! The owners: each step of a case, with the code of the service.

use std::sync::Arc;

use tidemill_definitions::Metrics;
use tidemill_domain::Timestamp;
use tidemill_service::{Ceiling, CeilingConfig};
use tokio::sync::oneshot;

use super::{
    case::Step,
    sink::{Fate, ModelSink},
    world::{Shared, lock},
};
use crate::{
    config::Windows,
    error::Error,
    stage::{
        flush::{flush, publish_lost, write_stale_points},
        owner::{Owner, Taken},
    },
    store::Store,
};

/// An owner at work.
pub(super) struct Actor {
    pub(super) owner: Owner,
    pub(super) sink: ModelSink,
    /// The batch of the log that is delivered next.
    pub(super) next: usize,
    pub(super) ceiling: Ceiling,
}

pub(super) struct Owners {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) windows: Arc<Windows>,
    pub(super) world: Shared,
}

const NOW: Timestamp = Timestamp::EPOCH;

impl Owners {
    /// Takes the partition over.
    pub(super) async fn open(&self) -> Actor {
        loop {
            let (partition, next, tail, last, id) = {
                let mut world = lock(&self.world);
                world.owner += 1;
                (world.partition, world.acknowledged, world.stream.len(), world.stream.last().cloned(), world.owner)
            };
            let (store, metrics, windows) = (self.store.clone(), self.metrics.clone(), self.windows.clone());
            let mut owner = Owner::open(store, metrics, windows, partition, NOW).await.expect("the store is there");
            owner.take_up(None, NOW).await.expect("nobody else opens it");
            let mut sink = ModelSink { world: self.world.clone(), owner: id, tail, sent: 0, fate: Fate::Well };
            let position = owner.position(NOW);
            if publish_lost(&mut sink, &self.store, &owner.claim, &position, last.as_ref()).await.is_ok() {
                return Actor { owner, sink, next, ceiling: Ceiling::new(CeilingConfig::default()) };
            }
        }
    }

    async fn take(&self, actor: &mut Actor, batches: usize) -> Result<(), Error> {
        for _ in 0..batches {
            let Some(batch) = lock(&self.world).log.get(actor.next).cloned() else { return Ok(()) };
            let taken = actor.owner.take(&batch, &mut actor.ceiling, NOW).await?;
            assert_ne!(taken, Taken::Early, "batches come in order");
            actor.next += 1;
        }
        Ok(())
    }

    /// Publishes and keeps what changed, takes more meanwhile, and
    /// acknowledges.
    async fn checkpoint(&self, actor: &mut Actor, ahead: usize) -> Result<(), Error> {
        let changes = actor.owner.take_changes(NOW);
        let reached = actor.next;
        self.take(actor, ahead).await?;
        if changes.floor > changes.after {
            let own = (&actor.owner.claim, &*actor.owner.pages);
            flush(&mut actor.sink, &self.store, own, &self.metrics, &changes).await?;
        }
        actor.owner.state.committed(changes.floor);
        self.acknowledge(reached);
        write_stale_points(&mut actor.sink, &self.store, &actor.owner.claim, &self.metrics).await
    }

    fn acknowledge(&self, batches: usize) {
        let mut world = lock(&self.world);
        world.acknowledged = world.acknowledged.max(batches);
    }

    async fn work(&self, actor: &mut Actor, take: usize, ahead: usize) -> Result<(), Error> {
        self.take(actor, take).await?;
        self.checkpoint(actor, ahead).await?;
        if ahead > 0 { self.checkpoint(actor, 0).await } else { Ok(()) }
    }

    /// Works on; whoever fails is followed by another.
    pub(super) async fn work_or_die(&self, mut actor: Actor, take: usize, ahead: usize) -> Actor {
        match self.work(&mut actor, take, ahead).await {
            Ok(()) => Actor { sink: ModelSink { fate: Fate::Well, ..actor.sink }, ..actor },
            Err(_) => self.open().await,
        }
    }

    pub(super) async fn play(self: &Arc<Self>, mut actor: Actor, step: &Step) -> Actor {
        actor.sink.sent = 0;
        match *step {
            Step::Work { take, ahead, crash } => {
                actor.sink.fate = crash.map_or(Fate::Well, Fate::Crash);
                self.work_or_die(actor, take, ahead).await
            }
            Step::DieBeforeAck { take } => {
                let acknowledged = lock(&self.world).acknowledged;
                let _ = self.work(&mut actor, take, 0).await;
                lock(&self.world).acknowledged = acknowledged;
                self.open().await
            }
            Step::Hang { take, at, meanwhile } => {
                let ((hanging, hangs), (wake, woken)) = (oneshot::channel(), oneshot::channel());
                actor.sink.fate = Fate::Hang(at, Some((hanging, woken)));
                let stage = self.clone();
                let first = tokio::spawn(async move {
                    let done = stage.work(&mut actor, take, 0).await;
                    // What it did not come to is no matter any more.
                    actor.sink.fate = Fate::Well;
                    (actor, done)
                });
                if hangs.await.is_err() {
                    // It was through before it came to that.
                    let (actor, done) = first.await.expect("does not panic");
                    return match done {
                        Ok(()) => Actor { sink: ModelSink { fate: Fate::Well, ..actor.sink }, ..actor },
                        Err(_) => self.open().await,
                    };
                }
                let second = self.open().await;
                let second = self.work_or_die(second, meanwhile, 0).await;
                let _ = wake.send(());
                drop(first.await.expect("does not panic"));
                second
            }
            Step::Oblivious { meanwhile, take } => {
                let second = self.open().await;
                let second = self.work_or_die(second, meanwhile, 0).await;
                let acknowledged = lock(&self.world).acknowledged;
                let done = self.work(&mut actor, take, 0).await;
                let took_any = actor.owner.state.floor > actor.owner.claim.floor;
                assert!(done.is_err() || !took_any || lock(&self.world).acknowledged == acknowledged);
                second
            }
            Step::LoseTail { messages } => {
                lock(&self.world).lose_tail(messages);
                actor
            }
        }
    }
}
