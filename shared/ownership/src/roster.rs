//! What a replica knows of the others: who is alive, and who has what.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tidemill_bus::{Change, MEMBER_TTL, Member};
use tokio::time::Instant;

/// How long a member still counts after it may no longer believe itself alive.
const MARGIN: Duration = Duration::from_millis(500);

/// A lease, as it stands in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldLease {
    pub(crate) holder: String,
    pub(crate) revision: u64,
}

#[derive(Debug)]
struct KnownMember {
    instance: String,
    shares: bool,
    at: Instant,
}

/// Members and leases of one service.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: HashMap<String, KnownMember>,
    leases: HashMap<String, HeldLease>,
}

impl Roster {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Alive(member) => self.heard_of(&member, Instant::now()),
            Change::Left { key } => drop(self.members.remove(&key)),
            Change::Held { unit, holder, revision } => {
                self.leases.insert(unit, HeldLease { holder, revision });
            }
            Change::Free { unit } => drop(self.leases.remove(&unit)),
        }
    }

    pub(crate) fn heard_of(&mut self, member: &Member, at: Instant) {
        let seen = KnownMember { instance: member.instance.clone(), shares: member.shares, at };
        self.members.insert(member.key(), seen);
    }

    /// Forgets members that have been silent for too long.
    pub(crate) fn forget_the_silent(&mut self) {
        self.members.retain(|_, seen| seen.at.elapsed() < MEMBER_TTL + MARGIN);
    }

    /// Who takes a share of the work.
    pub(crate) fn sharers(&self) -> BTreeSet<String> {
        self.members.values().filter(|seen| seen.shares).map(|seen| seen.instance.clone()).collect()
    }

    /// Whether an instance is alive, sharing or not.
    pub(crate) fn is_alive(&self, instance: &str) -> bool {
        self.members.values().any(|seen| seen.instance == instance)
    }

    pub(crate) fn lease(&self, unit: &str) -> Option<&HeldLease> {
        self.leases.get(unit)
    }

    /// Notes a lease that this replica has taken; the watch will confirm it.
    pub(crate) fn taken(&mut self, unit: String, holder: &str, revision: u64) {
        self.leases.insert(unit, HeldLease { holder: holder.to_owned(), revision });
    }

    /// Notes a lease that this replica has given back.
    pub(crate) fn released(&mut self, unit: &str) {
        self.leases.remove(unit);
    }
}
