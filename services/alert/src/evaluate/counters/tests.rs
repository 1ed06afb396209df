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
