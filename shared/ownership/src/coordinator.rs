//! Takes and gives back units as members come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::join_all};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tidemill_bus::{Bus, Change, MEMBER_TTL};
use tidemill_service::{Context, Sharing};
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{Lease, Owned, Unit, assign, roster::Roster};

/// How often the roster is looked at when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// How long work may take for its step in hand after it was told to stop. The
/// unit's next owner is safe from it in any case.
const STEP_DEADLINE: Duration = Duration::from_secs(8);
/// How long it may take where it was abandoned before. A step that is begun anew each time, and
/// abandoned at the same place each time, would never end: so it gets twice as long each time.
const LONGEST_DEADLINE: Duration = Duration::from_secs(128);
const HEALTH: &str = "ownership";

/// Runs `work` for every unit that this replica owns, for as long as it owns
/// it. An error of `work` ends the service.
pub fn share<U, W, F, E>(context: &Context, bus: &Bus, units: impl IntoIterator<Item = U>, work: W) -> Owned<U>
where
    U: Unit,
    W: Fn(Lease<U>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    context.health.unready(HEALTH, "the share of the work is not known yet");
    let (owned, receiver) = watch::channel(BTreeSet::new());
    let (units_gauge, taken) = (Gauge::<i64>::default(), Counter::<u64>::default());
    context.registry.with(|registry| {
        let registry = registry.sub_registry_with_prefix("tidemill_ownership");
        registry.register("units", "Units of work that this replica owns", units_gauge.clone());
        registry.register("taken", "Units of work that it has taken over", taken.clone());
    });
    let coordinator = Coordinator {
        context: context.clone(),
        bus: bus.clone(),
        units: units.into_iter().collect(),
        work: Arc::new(move |lease| work(lease).map(|done| done.map_err(|e| e.to_string())).boxed()),
        roster: Roster::default(),
        running: BTreeMap::new(),
        deadlines: StepDeadlines(BTreeMap::new()),
        tasks: JoinSet::new(),
        owned,
        units_gauge,
        taken,
    };
    context.spawn("ownership", coordinator.run());
    Owned(receiver)
}

type UnitWork<U> = Arc<dyn Fn(Lease<U>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;
type WorkChanges = Pin<Box<dyn Stream<Item = Result<Change, tidemill_bus::Error>> + Send>>;

/// A unit whose work runs here.
struct Running {
    task: Id,
    stop: CancellationToken,
    /// When it was told to stop, or may no longer count on its lease.
    stopping: Option<Instant>,
    abort: tokio::task::AbortHandle,
    is_abandoned: bool,
}

/// How long each unit's work may take for its step in hand.
#[derive(Debug)]
struct StepDeadlines<U>(BTreeMap<U, Duration>);

impl<U: Unit> StepDeadlines<U> {
    fn of(&self, unit: U) -> Duration {
        self.0.get(&unit).copied().unwrap_or(STEP_DEADLINE)
    }

    fn abandoned(&mut self, unit: U) {
        self.0.insert(unit, (self.of(unit) * 2).min(LONGEST_DEADLINE));
    }

    fn ended(&mut self, unit: U) {
        self.0.remove(&unit);
    }
}

struct Coordinator<U> {
    context: Context,
    bus: Bus,
    units: BTreeSet<U>,
    work: UnitWork<U>,
    roster: Roster,
    running: BTreeMap<U, Running>,
    deadlines: StepDeadlines<U>,
    tasks: JoinSet<Result<(), String>>,
    owned: watch::Sender<BTreeSet<U>>,
    units_gauge: Gauge,
    taken: Counter,
}

impl<U: Unit> Coordinator<U> {
    async fn run(mut self) -> Result<(), String> {
        let shutdown = self.context.shutdown.clone();
        self.context.set_sharing(Sharing::Yes);
        let mut wait = TICK;
        let done = loop {
            let watched = tokio::select! {
                watched = self.watch() => watched,
                () = shutdown.cancelled() => break Ok(()),
            };
            match watched {
                Ok(()) => break Ok(()),
                Err(Fault::Work(reason)) => break Err(reason),
                Err(Fault::Silent) => tracing::warn!("the watch of members and leases fell silent; opening it anew"),
                Err(Fault::Bus(error)) => {
                    tracing::warn!(%error, "members and leases cannot be followed; trying again");
                    self.context.health.unready(HEALTH, error.to_string());
                }
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
                () = shutdown.cancelled() => break Ok(()),
            }
            self.stop_where_lapsed();
        };
        self.context.set_sharing(Sharing::Leaving);
        self.give_everything_back().await;
        self.context.set_sharing(Sharing::No);
        done
    }

    /// Follows members and leases until shutdown, or until they cannot be
    /// followed any more.
    async fn watch(&mut self) -> Result<(), Fault> {
        self.roster = Roster::default();
        let mut changes: WorkChanges = Box::pin(self.bus.watch_work(self.context.service).await?);
        // The watch brings the same members once more. Knowing them all from
        // the first moment spares taking units that would be given back at
        // once.
        for member in self.bus.members().await? {
            if member.service == self.context.service {
                self.roster.heard_of(&member, Instant::now());
            }
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let shutdown = self.context.shutdown.clone();
        loop {
            tokio::select! {
                change = changes.next() => {
                    self.roster.apply(change.ok_or(Fault::Silent)??);
                    while let Some(Some(change)) = changes.next().now_or_never() {
                        self.roster.apply(change?);
                    }
                    heard_at = Instant::now();
                }
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await?,
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            // This replica speaks every two seconds, and has to hear itself.
            if self.context.is_believed_alive() && heard_at.elapsed() > MEMBER_TTL {
                return Err(Fault::Silent);
            }
            self.roster.forget_the_silent();
            self.stop_where_lapsed();
            self.balance().await?;
        }
    }

    /// Takes what is this replica's share and gives back what is not.
    async fn balance(&mut self) -> Result<(), Fault> {
        let me = self.context.instance.to_string();
        if !self.context.is_believed_alive() {
            return Ok(());
        }
        let assigned = self.assigned();
        let mut wanted = Vec::new();
        let mut waiting_for = None;
        for unit in self.units.clone() {
            let lease = self.roster.lease(&unit.to_string()).cloned();
            let mine = lease.as_ref().is_some_and(|lease| lease.holder == me);
            if assigned[&unit] != me || (!mine && self.running.contains_key(&unit)) {
                // The unit is no longer this replica's share, or was lost to
                // another.
                self.stop(unit);
                if mine && !self.running.contains_key(&unit) {
                    self.release(unit).await?;
                }
                continue;
            }
            match lease {
                Some(_) if mine => self.start(unit),
                Some(lease) if self.roster.is_alive(&lease.holder) => waiting_for = Some((unit, lease.holder)),
                lease => wanted.push((unit, lease.map(|lease| lease.revision))),
            }
        }
        let (bus, service) = (&self.bus, self.context.service);
        let take = wanted.into_iter().map(|(unit, revision)| {
            let me = &me;
            async move { (unit, bus.take_lease(service, &unit.to_string(), me, revision).await) }
        });
        for (unit, taken) in join_all(take).await {
            // If another replica was quicker, the watch tells which.
            if let Some(revision) = taken? {
                tracing::info!(service, %unit, revision, "taking over");
                self.taken.inc();
                self.roster.taken(unit.to_string(), &me, revision);
                self.start(unit);
            }
        }
        match waiting_for {
            Some((unit, holder)) => {
                self.context.health.unready(HEALTH, format!("{holder} has yet to give back {unit}"));
            }
            None => self.context.health.ready(HEALTH),
        }
        Ok(())
    }

    /// The replica that each unit belongs to, as far as this one knows.
    fn assigned(&self) -> BTreeMap<U, String> {
        let mut sharers = self.roster.sharers();
        sharers.insert(self.context.instance.to_string());
        assign(&self.units, &sharers)
    }

    fn start(&mut self, unit: U) {
        if self.running.contains_key(&unit) {
            return;
        }
        let stop = CancellationToken::new();
        let deadline = self.deadlines.of(unit);
        let lease = Lease { unit, stop: stop.clone(), deadline, context: self.context.clone() };
        let abort = self.tasks.spawn((self.work)(lease));
        let running = Running { task: abort.id(), stop, stopping: None, abort, is_abandoned: false };
        self.running.insert(unit, running);
        self.tell();
    }

    /// Tells a unit's work to end after its step in hand. Called again after the
    /// deadline, it ends the work at once.
    fn stop(&mut self, unit: U) {
        if let Some(running) = self.running.get_mut(&unit) {
            running.stop.cancel();
            let since = *running.stopping.get_or_insert_with(Instant::now);
            let deadline = self.deadlines.of(unit);
            if since.elapsed() > deadline && !running.is_abandoned {
                tracing::warn!(%unit, after = ?deadline, "the step in hand did not end in time; it is abandoned");
                // It ends at its next await.
                running.abort.abort();
                running.is_abandoned = true;
                self.deadlines.abandoned(unit);
            }
            self.tell();
        }
    }

    /// Stops everything when the others may believe this replica dead.
    fn stop_where_lapsed(&mut self) {
        if !self.context.is_believed_alive() && !self.running.is_empty() {
            self.context.health.unready(HEALTH, "not heard of by the other replicas: its work is paused");
            self.units.clone().into_iter().for_each(|unit| self.stop(unit));
        }
    }

    /// The work of a unit has ended.
    async fn ended(&mut self, ended: Result<(Id, Result<(), String>), tokio::task::JoinError>) -> Result<(), Fault> {
        let (task, result) = match ended {
            Ok((task, result)) => (task, result),
            Err(join) if join.is_cancelled() => (join.id(), Ok(())),
            Err(join) => (join.id(), Err(join.to_string())),
        };
        let unit = self.running.iter().find(|(_, running)| running.task == task).map(|(unit, _)| *unit);
        if let Some(unit) = unit {
            if self.running.remove(&unit).is_some_and(|running| !running.is_abandoned) {
                self.deadlines.ended(unit);
            }
            self.tell();
            // If the unit is still this replica's share, its lease stays and
            // the work is started again.
            if *self.assigned()[&unit] != *self.context.instance {
                self.release(unit).await?;
            }
        }
        result.map_err(Fault::Work)
    }

    async fn release(&mut self, unit: U) -> Result<(), tidemill_bus::Error> {
        let name = unit.to_string();
        if let Some(lease) = self.roster.lease(&name)
            && *lease.holder == *self.context.instance
        {
            self.bus.release_lease(self.context.service, &name, lease.revision).await?;
            self.roster.released(&name);
            tracing::info!(service = self.context.service, %unit, "gave back");
        }
        Ok(())
    }

    /// At the end: lets every step finish, then gives all leases back.
    async fn give_everything_back(&mut self) {
        self.running.values().for_each(|running| running.stop.cancel());
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STEP_DEADLINE, all).await.is_err() {
            tracing::warn!("steps in hand did not end in time; they are abandoned");
            self.tasks.shutdown().await;
        }
        self.running.clear();
        self.tell();
        for unit in self.units.clone() {
            // NATS may be away; the others find out by themselves then.
            if let Err(error) = self.release(unit).await {
                tracing::warn!(%error, %unit, "a lease could not be given back");
                break;
            }
        }
    }

    fn tell(&self) {
        let owned: BTreeSet<U> =
            self.running.iter().filter(|(_, running)| running.stopping.is_none()).map(|(unit, _)| *unit).collect();
        self.units_gauge.set(i64::try_from(owned.len()).unwrap_or(i64::MAX));
        self.owned.send_replace(owned);
    }
}

/// What ends the watch.
#[derive(Debug)]
enum Fault {
    /// Members and leases cannot be followed; that may pass.
    Bus(tidemill_bus::Error),
    /// The watch says nothing any more.
    Silent,
    /// A unit's work has failed for good.
    Work(String),
}

impl From<tidemill_bus::Error> for Fault {
    fn from(error: tidemill_bus::Error) -> Self {
        Self::Bus(error)
    }
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Partition;

    use super::*;

    /// Work whose step takes so long is told to stop again and again; answers how often it is abandoned.
    fn abandoned(step: Duration) -> usize {
        let (mut deadlines, unit) = (StepDeadlines(BTreeMap::new()), Partition::new(0));
        let mut times = 0;
        while step > deadlines.of(unit) && times < 100 {
            deadlines.abandoned(unit);
            times += 1;
        }
        times
    }

    #[test]
    fn a_step_that_is_slow_gets_through_at_last() {
        assert_eq!(abandoned(STEP_DEADLINE), 0);
        assert_eq!(abandoned(STEP_DEADLINE * 6), 3, "it is abandoned after 8, 16 and 32 seconds, and has 64 then");
        assert_eq!(abandoned(LONGEST_DEADLINE * 2), 100, "there is an end to it");
    }

    #[test]
    fn who_ends_in_time_has_no_more_time_than_others() {
        let (mut deadlines, [a, b]) = (StepDeadlines(BTreeMap::new()), [0, 1].map(Partition::new));
        deadlines.abandoned(a);
        assert_eq!((deadlines.of(a), deadlines.of(b)), (STEP_DEADLINE * 2, STEP_DEADLINE));
        deadlines.ended(a);
        assert_eq!(deadlines.of(a), STEP_DEADLINE);
    }
}
