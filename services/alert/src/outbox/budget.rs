//! How many messages each rule may send.

use std::{collections::HashMap, time::Duration};

use tidemill_domain::Timestamp;

const MINUTE: i64 = 60_000;

/// Messages that each rule may still send in the minute that began with its
/// first one.
#[derive(Debug)]
pub(super) struct Budget {
    per_minute: usize,
    spent: HashMap<String, (Timestamp, usize)>,
}

impl Budget {
    pub(super) fn new(per_minute: usize) -> Self {
        Self { per_minute, spent: HashMap::new() }
    }

    pub(super) fn left(&mut self, rule: &str, now: Timestamp) -> usize {
        self.spent.retain(|_, (since, _)| since.plus_millis(MINUTE) > now);
        self.per_minute - self.spent.get(rule).map_or(0, |(_, spent)| *spent).min(self.per_minute)
    }

    pub(super) fn spend(&mut self, rule: &str, now: Timestamp) {
        self.spent.entry(rule.to_owned()).or_insert((now, 0)).1 += 1;
    }

    pub(super) fn refilled_in(&self, rule: &str, now: Timestamp) -> Duration {
        let since = self.spent.get(rule).map_or(now, |(since, _)| *since);
        let millis = since.millis().saturating_add(MINUTE).saturating_sub(now.millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or_default().max(1))
    }
}

#[cfg(test)]
mod tests;
