//! Readiness, with its reasons.

use std::{
    collections::BTreeMap,
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
    /// What a person must know of although the work goes on.
    notices: BTreeMap<&'static str, String>,
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
        self.state().checks.iter().filter_map(|(what, reason)| Some((*what, reason.clone()?))).collect()
    }

    /// What a person must know of although the work goes on.
    pub fn notices(&self) -> BTreeMap<&'static str, String> {
        self.state().notices.clone()
    }

    /// Whether all is in order.
    pub fn is_ready(&self) -> bool {
        self.state().checks.values().all(Option::is_none)
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
}
