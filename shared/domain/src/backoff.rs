//! Failures that may pass, and how long to wait after one.

use std::{fmt, time::Duration};

/// An error of a call to a dependency.
pub trait Outage: fmt::Display {
    /// Whether it tells that the dependency is away or busy, and not only that
    /// this one call was refused.
    fn is_outage(&self) -> bool;
}

/// Waits between attempts: each twice as long as the one before, up to a limit.
/// One policy for everything that tries again by itself, so that an operator
/// learns it once: 200 ms, 400 ms, 800 ms, 1.6 s, 3.2 s, and 5 s from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The first wait.
    pub const FIRST: Duration = Duration::from_millis(200);
    /// The longest wait.
    pub const LONGEST: Duration = Duration::from_secs(5);

    /// Nothing has failed yet.
    pub const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// One more attempt has failed: how long to wait before the next.
    pub fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }

    /// An attempt has succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// Whether the last attempt has failed.
    pub fn is_waiting(&self) -> bool {
        self.next > Self::FIRST
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit_and_start_over() {
        let mut backoff = Backoff::new();
        assert!(!backoff.is_waiting());
        let waits: Vec<u128> = (0..7).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(backoff.is_waiting());
        backoff.succeeded();
        assert_eq!(backoff, Backoff::new());
    }
}
