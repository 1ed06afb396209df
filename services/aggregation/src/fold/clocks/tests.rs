use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(seconds * 1000)
}

fn clocks(windows: Windows) -> Clocks {
    Clocks::new(Arc::new(windows))
}

const LOG: i64 = 1_000_000_000;

#[test]
fn a_far_future_event_makes_no_other_late() {
    let mut clocks = clocks(Windows { allowed_lateness_seconds: 60, retention_days: 1, ..Windows::default() });
    clocks.advance("a", at(500), at(LOG), at(0));
    let newest_allowed = LOG + 300;
    for (time, late) in [(newest_allowed + 1, false), (4_102_444_800, false), (newest_allowed, true)] {
        clocks.advance("a", at(time), at(LOG), at(0));
        assert_eq!(clocks.is_late("a", at(400)), late, "after {time}");
    }
    assert!(clocks.is_late("never heard of", at(400)), "the furthest source decides what is kept");
}

#[test]
fn sources_beyond_the_bound_share_a_clock() {
    let mut clocks = clocks(Windows { max_sources: 2, allowed_lateness_seconds: 0, ..Windows::default() });
    for source in ["a", "b", "c", "d"] {
        clocks.advance(source, at(1000), at(LOG), at(0));
    }
    assert_eq!(clocks.len(), 3, "two of their own and the shared one");
    clocks.advance("c", at(5000), at(LOG), at(0));
    assert!(clocks.is_late("e", at(1000)) && !clocks.is_late("a", at(1000)));
    assert_eq!(clocks.take_moved().len(), 3);
    assert_eq!(clocks.take_moved(), []);
}

#[test]
fn an_idle_source_holds_nothing_open() {
    let mut clocks = clocks(Windows::default());
    assert_eq!(clocks.watermark(at(0)), (None, true));
    clocks.advance("a", at(1000), at(LOG), at(0));
    clocks.advance("b", at(5000), at(LOG), at(9));
    assert_eq!(clocks.watermark(at(9)), (Some(at(940)), false));
    assert_eq!(clocks.watermark(at(12)), (Some(at(4940)), false), "the first has gone idle");
    assert_eq!(clocks.watermark(at(60)), (Some(at(4940)), true));
}

#[test]
fn after_a_hand_over_a_source_gets_time_to_speak() {
    let mut clocks = clocks(Windows::default());
    clocks.restore("slow".into(), at(1000), at(100));
    clocks.restore("fast".into(), at(5000), at(100));
    assert_eq!(clocks.watermark(at(100)), (Some(at(940)), false), "nobody is idle yet");
    clocks.advance("fast", at(5001), at(LOG), at(109));
    assert_eq!(clocks.watermark(at(110)), (Some(at(4941)), false));
    assert!(!clocks.is_late("slow", at(1000)), "a number depends on no process's clock");
    assert_eq!(clocks.take_moved(), [("fast".to_owned(), at(5001))]);
}

#[test]
fn what_is_not_kept_any_more_is_late_for_every_source() {
    let mut clocks = clocks(Windows { retention_days: 30, ..Windows::default() });
    let day = 24 * 3600;
    clocks.advance("live", at(100 * day), at(LOG), at(0));
    assert_eq!(clocks.forgotten_before(), Some(at(70 * day)));
    assert!(clocks.is_late("import", at(70 * day - 1)));
    assert!(!clocks.is_late("import", at(70 * day)));
}
