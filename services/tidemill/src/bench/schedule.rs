//! When each request is to be sent.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{Instant, sleep_until};

const SECOND: u128 = 1_000_000_000;

/// The open-loop clock: the time of a request follows from its number alone,
/// and not from when those before it were answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) start: Instant,
    /// Events a second; as fast as it goes without.
    pub(super) rate: Option<NonZeroU32>,
    /// Events in a request.
    pub(super) batch: u64,
}

impl Schedule {
    /// How long after the start a request is due.
    pub(super) fn offset(&self, request: u64) -> Option<Duration> {
        let rate = u128::from(self.rate?.get());
        let nanos = u128::from(request) * u128::from(self.batch) * SECOND / rate;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// When a request is due, where it has a time.
    pub(super) fn due(&self, request: u64) -> Option<Instant> {
        self.offset(request).map(|offset| self.start + offset)
    }

    /// Waits until a request is due, and answers from when it counts: the time
    /// that it was meant for, also if that has long passed.
    pub(super) async fn wait(&self, request: u64) -> Instant {
        match self.due(request) {
            Some(due) => {
                sleep_until(due).await;
                due
            }
            None => Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: u32, batch: u64) -> Schedule {
        Schedule { start: Instant::now(), rate: NonZeroU32::new(rate), batch }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_from_when_it_was_meant_to_be_sent() {
        let schedule = schedule(2_000, 1_000);
        assert_eq!(schedule.offset(3), Some(Duration::from_millis(1_500)));
        // The one before it takes three seconds: the next is late from the beginning.
        let start = schedule.start;
        assert_eq!(schedule.wait(1).await, start + Duration::from_millis(500));
        assert_eq!(Instant::now(), start + Duration::from_millis(500));
        tokio::time::advance(Duration::from_secs(3)).await;
        let counts_from = schedule.wait(2).await;
        assert_eq!(counts_from, start + Duration::from_secs(1));
        assert_eq!(counts_from.elapsed(), Duration::from_millis(2_500));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_is_waited_for() {
        let schedule = schedule(0, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(schedule.wait(1_000_000).await, Instant::now());
        assert_eq!(schedule.due(0), None);
    }

    #[tokio::test]
    async fn the_clock_does_not_drift() {
        // A third of a millisecond each: rounded at every step, it would be off by far.
        assert_eq!(schedule(3_000, 1).offset(3_000_000_000), Some(Duration::from_secs(1_000_000)));
    }
}
