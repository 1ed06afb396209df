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
    fold::changes::PartitionChanges,
    stage::{
        flush::{keep, publish_lost, tell, write_stale_points},
        owner::{Owner, Taken},
    },
    store::Store,
};

/// An owner at work.
pub(super) struct Actor {
    pub(super) owner: Owner,
    pub(super) sink: ModelSink,
    /// What it told and has not kept.
    told: Vec<PartitionChanges>,
    /// The batch of the log that is delivered next.
    next: usize,
    ceiling: Ceiling,
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
            let mut sink = ModelSink::new(self.world.clone(), id, tail);
            let position = owner.position(NOW);
            if publish_lost(&mut sink, &self.store, &owner.claim, &position, last.as_ref()).await.is_ok() {
                return Actor { owner, sink, told: Vec::new(), next, ceiling: Ceiling::new(CeilingConfig::default()) };
            }
        }
    }

    /// Applies batches, and tells of what they changed.
    async fn tell(&self, actor: &mut Actor, batches: usize) -> Result<(), Error> {
        for _ in 0..batches {
            let Some(batch) = lock(&self.world).log.get(actor.next).cloned() else { break };
            let taken = actor.owner.take(&batch, &mut actor.ceiling, NOW).await?;
            assert_ne!(taken, Taken::Early, "batches come in order");
            actor.next += 1;
        }
        if actor.owner.has_changed() {
            let changes = actor.owner.take_changes(NOW);
            tell(&mut actor.sink, &changes).await?;
            actor.told.push(changes);
        }
        Ok(())
    }

    /// Keeps what was told, tells of more before that is in the store, and acknowledges.
    async fn keep(&self, actor: &mut Actor, ahead: usize) -> Result<(), Error> {
        let (floor, reached) = (actor.owner.state.floor, actor.next);
        let told = PartitionChanges::merged(std::mem::take(&mut actor.told));
        self.tell(actor, ahead).await?;
        let points = Some(&actor.sink);
        if let Some(told) = &told {
            let own = (&actor.owner.claim, &*actor.owner.pages);
            keep(points, &self.store, own, &self.metrics, told).await?;
        }
        actor.owner.state.committed(floor);
        self.acknowledge(reached);
        write_stale_points(points, &self.store, &actor.owner.claim, &self.metrics).await
    }

    fn acknowledge(&self, batches: usize) {
        let mut world = lock(&self.world);
        world.acknowledged = world.acknowledged.max(batches);
    }

    async fn work(&self, actor: &mut Actor, take: &[usize], ahead: usize) -> Result<(), Error> {
        for batches in take {
            self.tell(actor, *batches).await?;
        }
        self.keep(actor, ahead).await?;
        if ahead > 0 {
            // Of the same, and what is told and not kept is in memory alone.
            self.tell(actor, ahead).await?;
            self.keep(actor, 0).await?;
        }
        Ok(())
    }

    /// Works on; whoever fails is followed by another.
    pub(super) async fn work_or_die(&self, mut actor: Actor, take: &[usize], ahead: usize) -> Actor {
        let done = self.work(&mut actor, take, ahead).await;
        self.goes_on(actor, done).await
    }

    async fn goes_on(&self, actor: Actor, done: Result<(), Error>) -> Actor {
        match done {
            Ok(()) => {
                actor.sink.meets(Fate::Well).await;
                actor
            }
            Err(_) => self.open().await,
        }
    }

    pub(super) async fn play(self: &Arc<Self>, mut actor: Actor, step: &Step) -> Actor {
        match step {
            Step::Work { take, ahead, crash } => {
                actor.sink.meets(crash.map_or(Fate::Well, Fate::Crash)).await;
                self.work_or_die(actor, take, *ahead).await
            }
            Step::DieBeforeKeeping { take } => {
                for batches in take {
                    // Where it cannot tell, it dies a little earlier.
                    if self.tell(&mut actor, *batches).await.is_err() {
                        break;
                    }
                }
                self.open().await
            }
            Step::DieBeforeAck { take } => {
                let acknowledged = lock(&self.world).acknowledged;
                let _ = self.work(&mut actor, &[*take], 0).await;
                lock(&self.world).acknowledged = acknowledged;
                self.open().await
            }
            Step::Hang { take, at, meanwhile } => {
                let ((hanging, hangs), (wake, woken)) = (oneshot::channel(), oneshot::channel());
                actor.sink.meets(Fate::Hang(*at, Some((hanging, woken)))).await;
                let (stage, take) = (self.clone(), take.clone());
                let first = tokio::spawn(async move {
                    let done = stage.work(&mut actor, &take, 0).await;
                    // What it did not come to is no matter any more.
                    actor.sink.meets(Fate::Well).await;
                    (actor, done)
                });
                if hangs.await.is_err() {
                    // It was through before it came to that.
                    let (actor, done) = first.await.expect("does not panic");
                    return self.goes_on(actor, done).await;
                }
                let second = self.open().await;
                let second = self.work_or_die(second, &[*meanwhile], 0).await;
                let _ = wake.send(());
                drop(first.await.expect("does not panic"));
                second
            }
            Step::Oblivious { meanwhile, take } => {
                let second = self.open().await;
                let second = self.work_or_die(second, &[*meanwhile], 0).await;
                let acknowledged = lock(&self.world).acknowledged;
                let done = self.work(&mut actor, take, 0).await;
                let took_any = actor.owner.state.floor > actor.owner.claim.floor;
                assert!(done.is_err() || !took_any || lock(&self.world).acknowledged == acknowledged);
                second
            }
            Step::LoseTail { messages } => {
                lock(&self.world).lose_tail(*messages);
                actor
            }
        }
    }
}
