//! How long who learns lets those go first who answer.

use std::time::{Duration, Instant};

/// The longest that is left.
const MOST: Duration = Duration::from_millis(40);

/// Time to wait in: half of what goes by otherwise, so that who learns never falls behind,
/// however much is asked.
#[derive(Debug)]
pub(super) struct LearnerPatience {
    left: Duration,
    at: Instant,
}

impl LearnerPatience {
    /// All that may be left.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: MOST, at: now }
    }

    /// Until when may be waited.
    pub(super) fn until(&mut self, now: Instant) -> Instant {
        let gained = now.saturating_duration_since(self.at) / 2;
        (self.left, self.at) = ((self.left + gained).min(MOST), now);
        now + self.left
    }

    /// So long was waited since then. What it gained meanwhile it has spent, too.
    pub(super) fn spend(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(now.saturating_duration_since(self.at));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_half_of_the_time_is_waited_in() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut patience = LearnerPatience::new(begun);
        assert_eq!(patience.until(at(0)), at(40));
        patience.spend(at(30));
        assert_eq!(patience.until(at(30)), at(40));
        patience.spend(at(45));
        assert_eq!(patience.until(at(45)), at(45), "nothing is left");
        assert_eq!(patience.until(at(55)), at(60), "half of what went by");
        patience.spend(at(55));
        assert_eq!(patience.until(at(900)), at(940), "and no more than at first");
    }
}
