//! Which partitions cannot go on, and why: readiness names them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidemill_domain::Partition;
use tidemill_service::Health;

const WHAT: &str = "partition";

/// What stands in the way of each partition that this replica owns.
#[derive(Debug, Clone)]
pub(crate) struct Troubles {
    health: Health,
    reasons: Arc<Mutex<BTreeMap<Partition, String>>>,
}

impl Troubles {
    pub(crate) fn new(health: &Health) -> Self {
        Self { health: health.clone(), reasons: Arc::default() }
    }

    /// A partition cannot go on, for `reason`.
    pub(crate) fn set(&self, partition: Partition, reason: String) {
        self.change(|reasons| {
            reasons.insert(partition, reason);
        });
    }

    /// A partition goes on, or is no business of this replica any more.
    pub(crate) fn clear(&self, partition: Partition) {
        self.change(|reasons| {
            reasons.remove(&partition);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Partition, String>)) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut reasons);
        match reasons.first_key_value() {
            None => self.health.ready(WHAT),
            Some((partition, reason)) => {
                let others = match reasons.len() - 1 {
                    0 => String::new(),
                    others => format!(" (and {others} more)"),
                };
                self.health.unready(WHAT, format!("{partition}: {reason}{others}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_that_goes_on_does_not_hide_another_that_does_not() {
        let health = Health::default();
        let troubles = Troubles::new(&health);
        troubles.set(Partition::new(3), "a gap".into());
        troubles.set(Partition::new(5), "another".into());
        troubles.clear(Partition::new(4));
        assert_eq!(health.problems()["partition"], "3: a gap (and 1 more)");
        troubles.clear(Partition::new(3));
        assert_eq!(health.problems()["partition"], "5: another");
        troubles.clear(Partition::new(5));
        assert!(health.is_ready());
    }
}
