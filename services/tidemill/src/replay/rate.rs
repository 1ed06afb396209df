//! How many events a second are counted.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A rate that all partitions share.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Events a second; 0 for any number.
    a_second: AtomicU64,
    /// When the next events may be counted.
    next: Mutex<Instant>,
}

impl RateLimit {
    pub(super) fn new(a_second: u64) -> Self {
        Self { a_second: AtomicU64::new(a_second), next: Mutex::new(Instant::now()) }
    }

    pub(super) fn set(&self, a_second: u64) {
        self.a_second.store(a_second, Ordering::Relaxed);
    }

    /// Waits until so many events may be counted.
    pub(super) async fn take(&self, events: u64) {
        let a_second = self.a_second.load(Ordering::Relaxed);
        if a_second == 0 {
            return;
        }
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_secs_f64(events as f64 / a_second as f64);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_over_all_partitions() {
        let rate = RateLimit::new(100);
        let begun = Instant::now();
        for _ in 0..5 {
            tokio::join!(rate.take(50), rate.take(50));
        }
        // The last takes its turn half a second before its events are over.
        assert_eq!(begun.elapsed().as_millis(), 4500);
        rate.set(0);
        rate.take(1_000_000).await;
        assert_eq!(begun.elapsed().as_millis(), 4500, "any number");
    }
}
