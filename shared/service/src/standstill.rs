//! Work that waits and does not move: readiness names it after a minute,
//! whatever the reason. A unit that fails, starts over and fails again looks
//! busy to every other check.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Conditions, Health};

/// How long work may wait without moving until readiness says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches the units of work that this instance owns.
#[derive(Debug)]
pub struct Standstill<U> {
    conditions: Conditions<U>,
    /// Where each unit with waiting work is, and since when it has been there.
    since: Mutex<BTreeMap<U, (u64, Instant)>>,
}

impl<U: Ord + Display + Clone> Standstill<U> {
    /// Nothing seen so far. `what` names the line in readiness, for instance
    /// `standing_partition`.
    pub fn new(health: &Health, what: &'static str) -> Self {
        Self { conditions: Conditions::new(health, what), since: Mutex::default() }
    }

    /// Takes note of where a unit is, and of how much waits behind that. To be
    /// called every few seconds for each unit that this instance owns.
    pub fn look(&self, unit: U, reached: u64, waiting: u64) {
        let now = Instant::now();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting == 0 {
            since.remove(&unit);
            return self.conditions.clear(&unit);
        }
        let (place, began) = since.entry(unit.clone()).or_insert((reached, now));
        if *place != reached {
            (*place, *began) = (reached, now);
        }
        match now.duration_since(*began) {
            stood if stood >= PATIENCE => self.conditions.set(
                unit,
                format!("it has stood at {reached} for {} s, and {waiting} messages wait behind that", stood.as_secs()),
            ),
            _ => self.conditions.clear(&unit),
        }
    }

    /// Forgets the units that are no business of this instance any more.
    pub fn retain(&self, is_owned: impl Fn(&U) -> bool) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|unit, _| {
            let owned = is_owned(unit);
            if !owned {
                self.conditions.clear(unit);
            }
            owned
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_unit_that_waits_and_does_not_move_is_named_after_a_minute() {
        let health = Health::default();
        let standstill = Standstill::new(&health, "standing_partition");
        let told = || health.problems().get("standing_partition").cloned();
        standstill.look(3, 7, 5);
        standstill.look(4, 9, 0);
        advance(PATIENCE - Duration::from_secs(1)).await;
        standstill.look(3, 7, 6);
        assert_eq!(told(), None, "not yet");
        advance(Duration::from_secs(1)).await;
        standstill.look(3, 7, 6);
        standstill.look(4, 9, 0);
        assert_eq!(told().as_deref(), Some("3: it has stood at 7 for 60 s, and 6 messages wait behind that"));
        standstill.look(3, 8, 5);
        assert_eq!(told(), None, "it moves");
        advance(PATIENCE).await;
        standstill.look(3, 8, 5);
        assert!(told().is_some());
        standstill.retain(|unit| *unit != 3);
        assert_eq!(told(), None, "it is another's now");
        standstill.look(4, 9, 1);
        assert_eq!(told(), None, "nothing waited until now");
    }
}
