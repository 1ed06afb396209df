//! When batch views are due.

use std::time::{Duration, Instant};

use tidemill_domain::Backoff;

/// When the next run is due: after an interval, or soon where the last one has failed.
pub(super) struct ViewSchedule {
    /// None for orders alone.
    every: Option<Duration>,
    last: Instant,
    /// When to try again what has failed.
    again: Option<Instant>,
    backoff: Backoff,
}

impl ViewSchedule {
    pub(super) fn new(every: Option<Duration>, now: Instant) -> Self {
        Self { every, last: now, again: None, backoff: Backoff::new() }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.every.is_some_and(|every| now >= self.again.unwrap_or(self.last + every))
    }

    /// Whether something has failed that is yet to be tried again.
    pub(super) fn is_failing(&self) -> bool {
        self.every.is_some() && self.again.is_some()
    }

    /// A run has ended, or there is no use in trying again soon.
    pub(super) fn ended(&mut self, now: Instant) {
        (self.last, self.again) = (now, None);
        self.backoff.succeeded();
    }

    /// Something has failed that may succeed soon.
    pub(super) fn failed(&mut self, now: Instant) {
        self.again = Some(now + self.backoff.failed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(600);

    #[test]
    fn what_has_failed_is_tried_again_long_before_the_next_run() {
        let begun = Instant::now();
        let mut schedule = ViewSchedule::new(Some(EVERY), begun);
        assert!(!schedule.is_due(begun) && schedule.is_due(begun + EVERY));
        schedule.failed(begun);
        assert!(schedule.is_failing() && schedule.is_due(begun + EVERY / 10));
        schedule.ended(begun + EVERY / 10);
        assert!(!schedule.is_failing() && !schedule.is_due(begun + EVERY) && schedule.is_due(begun + EVERY * 2));
    }

    #[test]
    fn where_orders_alone_count_nothing_is_due_and_no_failure_stays() {
        let begun = Instant::now();
        let mut schedule = ViewSchedule::new(None, begun);
        schedule.failed(begun);
        assert!(!schedule.is_failing() && !schedule.is_due(begun + EVERY));
    }
}
