//! Readiness, with its reasons.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a service needs to do its work, and what of it is missing. Liveness
/// does not ask this: a dependency's outage is no reason to kill a process.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Findings>>);

#[derive(Debug, Default)]
struct Findings {
    /// What work needs, with the reason where it is missing.
    checks: BTreeMap<&'static str, Option<String>>,
    /// What the instance answers without.
    dispensable: BTreeSet<&'static str>,
    /// What a person must know of although the work goes on.
    notices: BTreeMap<&'static str, String>,
}

impl Findings {
    /// What is not in order, with the reasons.
    fn missing(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.checks.iter().filter_map(|(what, reason)| Some((*what, reason.as_ref()?)))
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `what` is in order.
    pub fn ready(&self, what: &'static str) {
        self.state().checks.insert(what, None);
    }

    /// `what` is not in order, for `reason`.
    pub fn unready(&self, what: &'static str, reason: impl Into<String>) {
        self.state().checks.insert(what, Some(reason.into()));
    }

    /// From here on the instance answers without these. What is wrong with one of them is
    /// a notice then, and no reason to take the instance out of service: all others may
    /// miss the same.
    pub fn does_without(&self, dispensable: &[&'static str]) {
        self.state().dispensable.extend(dispensable);
    }

    /// `what` is no business of this instance any more.
    pub fn forget(&self, what: &'static str) {
        self.state().checks.remove(what);
    }

    /// `what` needs a person, and is no reason to take the instance out of
    /// service: it stays ready, and says this beside.
    pub fn notice(&self, what: &'static str, detail: impl Into<String>) {
        self.state().notices.insert(what, detail.into());
    }

    /// `what` needs nobody any more.
    pub fn withdraw_notice(&self, what: &'static str) {
        self.state().notices.remove(what);
    }

    /// What is not in order, with the reasons; empty when ready.
    pub fn problems(&self) -> BTreeMap<&'static str, String> {
        let state = self.state();
        let needed = state.missing().filter(|(what, _)| !state.dispensable.contains(what));
        needed.map(|(what, reason)| (what, reason.clone())).collect()
    }

    /// What a person must know of although the work goes on.
    pub fn notices(&self) -> BTreeMap<&'static str, String> {
        let state = self.state();
        let lacking = state.missing().filter(|(what, _)| state.dispensable.contains(what));
        let lacking = lacking.map(|(what, reason)| (what, reason.clone()));
        state.notices.clone().into_iter().chain(lacking).collect()
    }

    /// Whether all is in order.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        state.missing().all(|(what, _)| state.dispensable.contains(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_leaves_an_instance_in_service() {
        let health = Health::default();
        health.ready("nats");
        health.notice("dead_letters", "full");
        assert!(health.is_ready() && health.problems().is_empty());
        assert_eq!(health.notices()["dead_letters"], "full");
        health.withdraw_notice("dead_letters");
        assert!(health.notices().is_empty());
    }

    #[test]
    fn what_an_instance_answers_without_is_told_and_leaves_it_in_service() {
        let health = Health::default();
        health.unready("store", "away");
        assert!(!health.is_ready(), "it starts, and needs the store");
        health.does_without(&["store", "nats"]);
        assert!(health.is_ready() && health.problems().is_empty());
        assert_eq!(health.notices()["store"], "away");
        health.unready("index", "not whole");
        assert!(!health.is_ready());
        assert_eq!(health.problems().into_keys().collect::<Vec<_>>(), ["index"]);
        health.ready("index");
        health.ready("store");
        assert!(health.is_ready() && health.notices().is_empty());
    }
}
