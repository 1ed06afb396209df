//! Which units of a service's work cannot go on, and why: readiness names them.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use crate::health::Health;

/// What stands in the way of each unit of work that this instance owns. All
/// units share one line of readiness, so a unit that goes on does not hide one
/// that cannot. Clones share the conditions.
#[derive(Debug, Clone)]
pub struct Conditions<U> {
    health: Health,
    what: &'static str,
    reasons: Arc<Mutex<BTreeMap<U, String>>>,
}

/// A condition of one unit that ends when this is dropped.
#[derive(Debug)]
pub struct HeldCondition<U: Ord + Display> {
    conditions: Conditions<U>,
    unit: U,
}

impl<U: Ord + Display> Conditions<U> {
    /// No conditions so far. `what` names the line in readiness, for instance
    /// `partition`.
    pub fn new(health: &Health, what: &'static str) -> Self {
        Self { health: health.clone(), what, reasons: Arc::default() }
    }

    /// A unit cannot go on, for `reason`.
    pub fn set(&self, unit: U, reason: impl Into<String>) {
        self.change(|reasons| {
            reasons.insert(unit, reason.into());
        });
    }

    /// The same, until the answer is dropped.
    pub fn hold(&self, unit: U, reason: impl Into<String>) -> HeldCondition<U>
    where
        U: Clone,
    {
        self.set(unit.clone(), reason);
        HeldCondition { conditions: self.clone(), unit }
    }

    /// A unit goes on, or is no business of this instance any more.
    pub fn clear(&self, unit: &U) {
        self.change(|reasons| {
            reasons.remove(unit);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<U, String>)) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut reasons);
        match reasons.first_key_value() {
            None => self.health.ready(self.what),
            Some((unit, reason)) => {
                let others = match reasons.len() - 1 {
                    0 => String::new(),
                    others => format!(" (and {others} more)"),
                };
                self.health.unready(self.what, format!("{unit}: {reason}{others}"));
            }
        }
    }
}

impl<U: Ord + Display> Drop for HeldCondition<U> {
    fn drop(&mut self) {
        self.conditions.clear(&self.unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_that_goes_on_does_not_hide_another_that_does_not() {
        let health = Health::default();
        let conditions = Conditions::new(&health, "partition");
        conditions.set(3, "a gap");
        conditions.set(5, "another");
        conditions.clear(&4);
        assert_eq!(health.problems()["partition"], "3: a gap (and 1 more)");
        conditions.clear(&3);
        assert_eq!(health.problems()["partition"], "5: another");
        let held = conditions.hold(2, "a third");
        conditions.clear(&5);
        assert_eq!(health.problems()["partition"], "2: a third");
        drop(held);
        assert!(health.is_ready());
    }
}
