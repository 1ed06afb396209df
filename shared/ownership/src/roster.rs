//! What a replica knows of the others: who is alive, and who has what.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tidemill_bus::{Change, MEMBER_TTL, Member};
use tokio::time::Instant;

/// A member is missed for this long beyond the time for which it may believe
/// itself alive.
const MARGIN: Duration = Duration::from_millis(500);

/// A lease, as it stands in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) holder: String,
    pub(crate) revision: u64,
}

#[derive(Debug)]
struct Seen {
    instance: String,
    shares: bool,
    at: Instant,
}

/// Members and leases of one service.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: HashMap<String, Seen>,
    leases: HashMap<String, Standing>,
}

impl Roster {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Alive(member) => self.heard_of(&member, Instant::now()),
            Change::Left { key } => drop(self.members.remove(&key)),
            Change::Held { unit, holder, revision } => {
                self.leases.insert(unit, Standing { holder, revision });
            }
            Change::Free { unit } => drop(self.leases.remove(&unit)),
        }
    }

    pub(crate) fn heard_of(&mut self, member: &Member, at: Instant) {
        let seen = Seen { instance: member.instance.clone(), shares: member.shares, at };
        self.members.insert(member.key(), seen);
    }

    /// Forgets who has been silent for too long.
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

    pub(crate) fn lease(&self, unit: &str) -> Option<&Standing> {
        self.leases.get(unit)
    }

    /// This replica's own doing, which the watch will confirm.
    pub(crate) fn taken(&mut self, unit: String, holder: &str, revision: u64) {
        self.leases.insert(unit, Standing { holder: holder.to_owned(), revision });
    }

    /// See [`taken`](Self::taken).
    pub(crate) fn released(&mut self, unit: &str) {
        self.leases.remove(unit);
    }
}
