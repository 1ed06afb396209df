//! The partitions of a replay at work, and how far they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tidemill_aggregation::replay::{GenerationProgress, GenerationStore, WantedState};
use tidemill_domain::Partition;
use tidemill_events::{StreamName, topology};
use tidemill_service::{Conditions, Context};
use tidemill_stage::{StageFailure, supervise};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    error::ReplayError,
    partition::{ReplayShared, ReplayWork},
    place::PlaceStanding,
};

/// How often it is looked how far it is, and what is wanted.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// How long a replay runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayUntil {
    /// Until it has counted what the log has.
    CaughtUp,
    /// For as long as the generation is wanted: it stays as far as the live totals.
    Unwanted,
}

/// How a replay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayEnd {
    /// It has counted what the log has.
    CaughtUp,
    /// Somebody has cancelled it.
    Cancelled,
    /// This process is to end. The generation goes on where it is.
    Stopped,
}

/// How far a replay is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayTold {
    /// Sequences of the log that are counted, of those that it has, over all partitions.
    pub done: u64,
    /// See `done`.
    pub of: u64,
    /// Events that this run has counted.
    pub events: u64,
    /// Whether it has counted all that the log has.
    pub has_caught_up: bool,
    /// Whether it is to stand where it is.
    pub is_paused: bool,
    /// Why a partition does not go on.
    pub trouble: Option<String>,
}

/// A run, from one time that it is wanted to the next time that it is not.
pub(super) struct ReplayRun<'r> {
    pub(super) context: &'r Context,
    pub(super) store: &'r GenerationStore,
    pub(super) shared: &'r Arc<ReplayShared>,
    pub(super) until: &'r ReplayUntil,
    pub(super) begun: Instant,
}

impl ReplayRun<'_> {
    /// `None` where something else is wanted now.
    pub(super) async fn while_wanted(
        &self,
        mut progress: GenerationProgress,
        partitions: &[Partition],
        stop: &CancellationToken,
        tell: &mut impl FnMut(&ReplayTold),
    ) -> Result<Option<ReplayEnd>, ReplayError> {
        self.check_log(progress.read_to).await?;
        let mut heads = self.heads(partitions).await?;
        let (phase, conditions) = (stop.child_token(), Conditions::new(&self.context.health, "partition"));
        let mut tasks = JoinSet::new();
        for partition in partitions {
            let work = ReplayWork::new(*partition, self.shared.clone(), phase.clone());
            let (partition, phase, conditions) = (*partition, phase.clone(), conditions.clone());
            tasks.spawn(async move { supervise(work, partition, &phase, &conditions).await });
        }
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break Ok(Some(ReplayEnd::Stopped)),
                ended = tasks.join_next(), if !tasks.is_empty() => if let Some(Err(error)) = ended.map(joined) {
                    break Err(error.into());
                },
            }
            match self.look(&mut progress, &mut heads, partitions).await {
                Err(error) => break Err(error),
                Ok((told, wanted)) => {
                    tell(&told);
                    match wanted {
                        WantedState::Cancelled | WantedState::Paused => break Ok(None),
                        WantedState::Running if told.has_caught_up && *self.until == ReplayUntil::CaughtUp => {
                            break Ok(Some(ReplayEnd::CaughtUp));
                        }
                        WantedState::Running => {}
                    }
                }
            }
        };
        phase.cancel();
        while tasks.join_next().await.is_some() {}
        self.note(&mut progress).await?;
        ended
    }

    /// What comes next must be in the log, unless a lake has it.
    async fn check_log(&self, read_to: u64) -> Result<(), ReplayError> {
        let (first, _) = self.shared.bus.extent(StreamName::Raw).await?;
        match first > read_to + 1 && self.shared.bronze.is_none() {
            true => Err(ReplayError::LogForgotten { wanted: read_to + 1, first }),
            false => Ok(()),
        }
    }

    /// The last batch of each partition.
    async fn heads(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, u64>, ReplayError> {
        let mut heads = BTreeMap::new();
        for partition in partitions {
            heads.insert(*partition, self.shared.bus.tail(StreamName::Raw, &topology::raw(*partition)).await?);
        }
        Ok(heads)
    }

    /// Looks how far it is, and what is wanted.
    async fn look(
        &self,
        progress: &mut GenerationProgress,
        heads: &mut BTreeMap<Partition, u64>,
        partitions: &[Partition],
    ) -> Result<(ReplayTold, WantedState), ReplayError> {
        let record = self.store.record().await?;
        let record = record.ok_or_else(|| ReplayError::Unknown { name: self.shared.name.clone() })?;
        self.shared.rate.set(record.rate);
        let (first, end) = self.shared.bus.extent(StreamName::Raw).await?;
        for (partition, head) in heads.iter_mut() {
            let standing = self.standing(*partition);
            if standing.covered >= *head {
                // That is the one that was known: there may be more.
                *head = self.shared.bus.tail(StreamName::Raw, &topology::raw(*partition)).await?;
            }
            let Some(place) = self.shared.places.get(partition) else { continue };
            if place.get().is_overtaken(first) {
                place.overtake();
            } else if standing.is_at(*head) {
                place.is_at_end(end);
                self.shared.goes_on(*partition);
            }
        }
        let has_caught_up = heads.iter().all(|(partition, head)| {
            let standing = self.standing(*partition);
            standing.is_at(*head) && !standing.place.is_overtaken(first)
        });
        let all = partitions.len() == self.shared.bus.partitions().all().count();
        if has_caught_up && all {
            progress.read_to = progress.read_to.max(end);
            progress.has_caught_up = true;
        }
        self.note(progress).await?;
        let behind = record.inputs.behind;
        let of = |partition: &Partition, head: &u64| {
            // What the log has forgotten is before its first.
            let head = (*head).max(first.saturating_sub(1));
            (self.standing(*partition).covered.min(head).saturating_sub(behind), head.saturating_sub(behind))
        };
        let sums = heads.iter().map(|(partition, head)| of(partition, head));
        let (done, all) = sums.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let troubles = self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.iter().next().map(|(partition, why)| format!("partition {partition}: {why}"));
        let events = self.shared.events.load(Ordering::Relaxed);
        Ok((ReplayTold { done, of: all, events, has_caught_up, is_paused: false, trouble }, record.wanted))
    }

    /// How far a partition is, in its stores and where it reads.
    fn standing(&self, partition: Partition) -> PartitionStanding {
        let reached = self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied();
        let place = self.shared.places.get(&partition).map(|place| place.get()).unwrap_or_default();
        PartitionStanding { covered: place.covered(reached.unwrap_or_default()), place }
    }

    /// Writes down how far it is.
    async fn note(&self, progress: &mut GenerationProgress) -> Result<(), StageFailure> {
        progress.reached = self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        progress.whole_to = progress.reached.keys().map(|of| (*of, self.standing(*of).covered)).collect();
        if progress.reached.len() == self.shared.bus.partitions().all().count() {
            let least = progress.whole_to.values().min().copied().unwrap_or_default();
            progress.read_to = progress.read_to.max(least);
        }
        (progress.at, progress.has_ended) = (Some(self.context.clock.now()), false);
        progress.events = self.shared.events.load(Ordering::Relaxed);
        progress.millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.store.tell_progress(progress).await
    }
}

/// How far a partition is.
struct PartitionStanding {
    /// Up to there nothing is missing in its stores.
    covered: u64,
    place: PlaceStanding,
}

impl PartitionStanding {
    /// Whether it has all that the log has of it, whose last batch is `head`.
    const fn is_at(&self, head: u64) -> bool {
        self.place.is_in_log && self.covered >= head
    }
}

/// The answer of a partition's task. One that has panicked ends the replay.
fn joined(ended: Result<Result<(), StageFailure>, tokio::task::JoinError>) -> Result<(), StageFailure> {
    match ended {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(tidemill_bus::Error::Ack(error.to_string()).into()),
        },
    }
}
