//! Counters of event rules: how many events of a key in the window that ends
//! with an event, by event time.

use std::collections::{HashMap, VecDeque};

use tidemill_domain::Timestamp;

/// Observations of one counter at most; beyond it the longest known are
/// forgotten, and counts come out too small rather than memory too large.
pub const MAX_ENTRIES: usize = 200_000;

/// A sliding count per key.
///
/// An observation is kept for two windows after its arrival: one for the
/// window itself, one for events that arrive out of order. Since arrival and
/// not event time decides, a device that was offline for hours and then sends
/// all at once is counted too.
#[derive(Debug)]
pub struct Counter {
    window: i64,
    capacity: usize,
    /// Event times by key, in order.
    times: HashMap<u64, VecDeque<i64>>,
    /// Arrival, key and event time, in the order of arrival.
    arrivals: VecDeque<(Timestamp, u64, i64)>,
}

impl Counter {
    /// A counter over windows of this many milliseconds.
    pub fn new(window: i64, capacity: usize) -> Self {
        Self { window, capacity, times: HashMap::new(), arrivals: VecDeque::new() }
    }

    /// How long an observation is kept after its arrival, in milliseconds.
    pub const fn retention(window: i64) -> i64 {
        window.saturating_mul(2)
    }

    /// Takes note of an event.
    pub fn observe(&mut self, key: u64, time: Timestamp, arrived: Timestamp) {
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
    pub fn count(&self, key: u64, time: Timestamp) -> u64 {
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
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const WINDOW: i64 = 100;

    fn at(millis: i64) -> Timestamp {
        Timestamp::saturating_from_millis(millis)
    }

    #[test]
    fn a_window_excludes_its_far_end_and_includes_the_event() {
        let mut counter = Counter::new(WINDOW, 10);
        for time in [0, 50, 100] {
            counter.observe(1, at(time), at(time));
        }
        assert_eq!(counter.count(1, at(99)), 2);
        assert_eq!(counter.count(1, at(100)), 2, "the event at 0 is exactly a window old");
        assert_eq!(counter.count(2, at(100)), 0);
    }

    #[test]
    fn memory_is_bounded_by_time_and_by_number() {
        let mut counter = Counter::new(WINDOW, 50);
        for n in 0..1000 {
            counter.observe(n, at(0), at(0));
        }
        assert_eq!((counter.arrivals.len(), counter.times.len()), (50, 50));
        counter.observe(7, at(201), at(201));
        assert_eq!((counter.arrivals.len(), counter.times.len()), (1, 1));
    }

    proptest! {
        /// Against a list of everything, for events that arrive at most one
        /// window late.
        #[test]
        fn counts_as_a_naive_model_does(steps in vec((0u64..4, 0i64..40, 0i64..WINDOW), 1..200)) {
            let (mut counter, mut all, mut now) = (Counter::new(WINDOW, 10_000), Vec::new(), 0);
            for (key, pause, lateness) in steps {
                now += pause;
                let time = now - lateness;
                counter.observe(key, at(time), at(now));
                all.push((key, time));
                let naive = all.iter().filter(|(k, t)| *k == key && *t > time - WINDOW && *t <= time).count();
                prop_assert_eq!(counter.count(key, at(time)), naive as u64);
            }
        }
    }
}
