//! Readiness, with its reasons.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a service needs to do its work, and what of it is missing. Liveness
/// does not ask this: a dependency's outage is no reason to kill a process.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl Health {
    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `what` is in order.
    pub fn ready(&self, what: &'static str) {
        self.checks().insert(what, None);
    }

    /// `what` is not in order, for `reason`.
    pub fn unready(&self, what: &'static str, reason: impl Into<String>) {
        self.checks().insert(what, Some(reason.into()));
    }

    /// `what` is no business of this instance any more.
    pub fn forget(&self, what: &'static str) {
        self.checks().remove(what);
    }

    /// What is not in order, with the reasons; empty when ready.
    pub fn problems(&self) -> BTreeMap<&'static str, String> {
        self.checks().iter().filter_map(|(what, reason)| Some((*what, reason.clone()?))).collect()
    }

    /// Whether all is in order.
    pub fn is_ready(&self) -> bool {
        self.checks().values().all(Option::is_none)
    }
}
