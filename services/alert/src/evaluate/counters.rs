//! Counters of event rules: how many events of a key in the window that ends
//! with an event, by event time.

use std::collections::{HashMap, VecDeque};

use tidemill_domain::Timestamp;

/// Observations of one counter at most; beyond it the longest known are
/// forgotten, and counts come out too small rather than memory too large.
pub(super) const MAX_ENTRIES: usize = 200_000;

/// A sliding count per key.
///
/// An observation is kept for two windows after its arrival: one for the
/// window itself, one for events that arrive out of order. Since arrival and
/// not event time decides, a device that was offline for hours and then sends
/// all at once is counted too.
#[derive(Debug)]
pub(super) struct Counter {
    window: i64,
    capacity: usize,
    /// Event times by key, in order.
    times: HashMap<u64, VecDeque<i64>>,
    /// Arrival, key and event time, in the order of arrival.
    arrivals: VecDeque<(Timestamp, u64, i64)>,
}

impl Counter {
    /// A counter over windows of this many milliseconds.
    pub(super) fn new(window: i64, capacity: usize) -> Self {
        Self { window, capacity, times: HashMap::new(), arrivals: VecDeque::new() }
    }

    /// How long an observation is kept after its arrival, in milliseconds.
    pub(super) const fn retention(window: i64) -> i64 {
        window.saturating_mul(2)
    }

    /// Takes note of an event.
    pub(super) fn observe(&mut self, key: u64, time: Timestamp, arrived: Timestamp) {
        let times = self.times.entry(key).or_default();
        times.insert(times.partition_point(|known| *known <= time.millis()), time.millis());
        self.arrivals.push_back((arrived, key, time.millis()));
        let oldest = arrived.plus_millis(-Self::retention(self.window));
        while self.arrivals.front().is_some_and(|(arrived, _, _)| *arrived < oldest)
            || self.arrivals.len() > self.capacity
        {
            self.forget_first();
        }
    }

    /// Events of a key after `time` less a window, up to `time` itself.
    pub(super) fn count(&self, key: u64, time: Timestamp) -> u64 {
        let Some(times) = self.times.get(&key) else { return 0 };
        let up_to = |limit: i64| times.partition_point(|known| *known <= limit);
        (up_to(time.millis()) - up_to(time.millis().saturating_sub(self.window))) as u64
    }

    fn forget_first(&mut self) {
        let Some((_, key, time)) = self.arrivals.pop_front() else { return };
        let Some(times) = self.times.get_mut(&key) else { return };
        if let Ok(index) = times.binary_search(&time) {
            times.remove(index);
        }
        if times.is_empty() {
            self.times.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
