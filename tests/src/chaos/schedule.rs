//! Which faults a seed means, on whom, when and for how long.

use std::{collections::BTreeSet, fmt, time::Duration};

use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, IteratorRandom, SliceRandom},
};

use super::{
    fault::{Dependency, Fault, Kind},
    proxy::Trouble,
    replicas::Replicas,
};
use crate::service::Service;

/// Milliseconds from one fault's beginning to the next one's.
const GAP: std::ops::Range<u64> = 800..3_500;
/// How long a lease lasts; a replica that is held longer has lost its own.
const LEASE_MILLIS: u64 = 6_000;

/// How often each kind comes, of 28.
const DECK: [(Kind, usize); 15] = [
    (Kind::Kill, 5),
    (Kind::Terminate, 3),
    (Kind::Pause, 4),
    (Kind::Scale, 1),
    (Kind::NatsKill, 1),
    (Kind::NatsRestart, 1),
    (Kind::PostgresCrash, 1),
    (Kind::PostgresRestart, 1),
    (Kind::Sever, 3),
    (Kind::Refuse, 2),
    (Kind::Stall, 2),
    (Kind::Slow, 1),
    (Kind::SlackAway, 1),
    (Kind::LakeAway, 1),
    (Kind::LakeEmpty, 1),
];

/// A fault and when it comes, counted from the fault before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// How long after the beginning of the one before.
    pub(super) after: Duration,
    /// What happens.
    pub(super) fault: Fault,
}

/// The faults of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// The plan that a seed means for so many faults, of these kinds alone
    /// where any is named, and for so many replicas, with or without an
    /// InfluxDB. The first faults are of every kind once.
    pub fn new(seed: u64, faults: usize, only: &[Kind], replicas: Replicas, influx: bool) -> Self {
        let mut dependencies = vec![Dependency::Nats, Dependency::Nats, Dependency::Postgres, Dependency::Postgres];
        if influx {
            dependencies.push(Dependency::Influx);
        }
        let is_wanted =
            |kind: Kind| (only.is_empty() || only.contains(&kind)) && (!kind.is_of_lake() || replicas.lake > 0);
        let mut dice = Dice { rng: StdRng::seed_from_u64(seed), replicas: replicas.names(), dependencies };
        let mut steps = Vec::with_capacity(faults);
        let full: Vec<(Kind, usize)> = DECK.into_iter().filter(|(kind, _)| is_wanted(*kind)).collect();
        let mut deck: Vec<Kind> = full.iter().map(|(kind, _)| *kind).collect();
        while steps.len() < faults {
            deck.shuffle(&mut dice.rng);
            for kind in deck.drain(..).take(faults - steps.len()) {
                let after = dice.millis(GAP);
                steps.push(Step { after, fault: dice.fault(kind) });
            }
            deck.extend(full.iter().flat_map(|(kind, times)| std::iter::repeat_n(*kind, *times)));
        }
        Self { steps }
    }
}

impl fmt::Display for Plan {
    /// A fault a line: its number, its time in seconds at the earliest, itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = Duration::ZERO;
        for (number, step) in self.steps.iter().enumerate() {
            at += step.after;
            writeln!(f, "{:4} {:9.3} {}", number + 1, at.as_secs_f64(), step.fault)?;
        }
        Ok(())
    }
}

struct Dice {
    rng: StdRng,
    replicas: Vec<(Service, String)>,
    /// As often as each is to be hit.
    dependencies: Vec<Dependency>,
}

impl Dice {
    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    /// A replica for which `fits` says so.
    fn replica(&mut self, fits: impl Fn(Service) -> bool) -> String {
        let fitting: Vec<&String> =
            self.replicas.iter().filter(|(service, _)| fits(*service)).map(|(_, name)| name).collect();
        fitting.choose(&mut self.rng).map(|name| (*name).clone()).unwrap_or_default()
    }

    /// Mostly short, and now and then longer than a lease.
    fn while_away(&mut self) -> Duration {
        if self.rng.random_bool(0.3) {
            self.millis(LEASE_MILLIS + 1_000..20_000)
        } else {
            self.millis(500..LEASE_MILLIS)
        }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        match kind {
            Kind::Kill => Fault::Kill { replica: self.replica(|_| true), down: self.millis(50..4_000) },
            Kind::Terminate => Fault::Terminate { replica: self.replica(|_| true), down: self.millis(50..4_000) },
            Kind::Pause => Fault::Pause { replica: self.replica(|_| true), lasts: self.while_away() },
            Kind::Scale => {
                let stateful = self.replicas.iter().map(|(service, _)| *service).filter(|service| service.has_store());
                let stateful: BTreeSet<Service> = stateful.collect();
                let service = stateful.into_iter().choose(&mut self.rng).unwrap_or(Service::Aggregation);
                Fault::Scale { service, lasts: self.millis(3_000..12_000) }
            }
            Kind::NatsKill => Fault::NatsKill { down: self.millis(50..5_000) },
            Kind::NatsRestart => Fault::NatsRestart { down: self.millis(50..3_000) },
            Kind::PostgresCrash => Fault::PostgresCrash { down: self.millis(50..5_000) },
            Kind::PostgresRestart => Fault::PostgresRestart { down: self.millis(50..3_000) },
            Kind::Sever => self.network(Trouble::Sever),
            Kind::Refuse => {
                let lasts = self.millis(500..8_000);
                self.network(Trouble::Refuse(lasts))
            }
            Kind::Stall => {
                let lasts = self.while_away();
                self.network(Trouble::Stall(lasts))
            }
            Kind::Slow => {
                let (lasts, delay) = (self.millis(2_000..10_000), self.millis(5..150));
                self.network(Trouble::Slow(lasts, delay))
            }
            Kind::SlackAway => Fault::SlackAway { calls: self.rng.random_range(1..6) },
            Kind::LakeAway => Fault::LakeAway { lasts: self.millis(500..8_000), is_empty: false },
            Kind::LakeEmpty => Fault::LakeAway { lasts: self.millis(500..8_000), is_empty: true },
        }
    }

    fn network(&mut self, trouble: Trouble) -> Fault {
        let dependency = self.dependencies.choose(&mut self.rng).copied().unwrap_or(Dependency::Nats);
        let uses = |service: Service| match dependency {
            Dependency::Nats => true,
            Dependency::Postgres => service.has_store(),
            Dependency::Influx => service == Service::Aggregation,
        };
        let replica = if self.rng.random_bool(0.3) { None } else { Some(self.replica(uses)) };
        Fault::Network { dependency, replica, trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_every_kind_comes_first() {
        let plan = Plan::new(7, 240, &[], Replicas::default(), false);
        assert_eq!(plan, Plan::new(7, 240, &[], Replicas::default(), false));
        assert_ne!(plan, Plan::new(8, 240, &[], Replicas::default(), false));
        assert_eq!(plan.to_string().lines().count(), 240);
        let first: BTreeSet<Kind> = plan.steps[..DECK.len()].iter().map(|step| step.fault.kind()).collect();
        assert_eq!(first.len(), DECK.len());
        // A shorter plan is the beginning of a longer one.
        assert_eq!(Plan::new(7, 20, &[], Replicas::default(), false).steps, plan.steps[..20]);
        let without = Replicas { lake: 0, ..Replicas::default() };
        let dry = Plan::new(7, 240, &[], without, false);
        assert!(dry.steps.iter().all(|step| !step.fault.kind().is_of_lake()));
        let only = Plan::new(7, 20, &[Kind::Kill], Replicas::default(), false);
        assert!(only.steps.iter().all(|step| step.fault.kind() == Kind::Kill));
    }
}
