//! Reasons for not being ready that several tasks may have at once, under one
//! name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidemill_service::Health;

/// The reasons under one name; clones share them.
#[derive(Debug, Clone)]
pub struct Notices {
    health: Health,
    what: &'static str,
    standing: Arc<Mutex<BTreeMap<String, String>>>,
}

/// A reason, for as long as it is held.
#[derive(Debug)]
pub struct Notice {
    notices: Notices,
    who: String,
}

impl Notices {
    /// No reasons yet, under this name.
    pub fn new(health: &Health, what: &'static str) -> Self {
        Self { health: health.clone(), what, standing: Arc::default() }
    }

    /// `who` is not ready, for this reason. One notice of each.
    pub fn post(&self, who: String, reason: String) -> Notice {
        self.change(|standing| drop(standing.insert(who.clone(), reason)));
        Notice { notices: self.clone(), who }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut standing);
        // Told while it is locked, so that the last change has the last word.
        if standing.is_empty() {
            self.health.forget(self.what);
        } else {
            let reasons: Vec<&str> = standing.values().map(String::as_str).collect();
            self.health.unready(self.what, reasons.join("; "));
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.notices.change(|standing| drop(standing.remove(&self.who)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_back_with_the_last_notice() {
        let health = Health::default();
        let notices = Notices::new(&health, "gap");
        let first = notices.post("0".into(), "partition 0".into());
        let second = notices.post("1".into(), "partition 1".into());
        assert_eq!(health.problems()["gap"], "partition 0; partition 1");
        drop(first);
        assert_eq!(health.problems()["gap"], "partition 1");
        drop(second);
        assert!(health.is_ready());
    }
}
