use super::*;
use crate::from_yaml;

#[test]
fn a_session_is_known_by_its_gap() {
    let window = |yaml: &str| from_yaml::<Window>("w.yaml", yaml).expect(yaml);
    let session = window("{session: {gap: 30m}}");
    assert_eq!(session, Window::Session { gap_millis: 30 * MINUTE });
    assert_eq!((session.kind(), session.step_millis()), ("session", None));
    assert_eq!(session.starts(Timestamp::EPOCH).count(), 0);
    for (gap, gap_millis) in [("1s", MIN_GAP), ("24h", MAX_GAP)] {
        assert_eq!(window(&format!("{{session: {{gap: {gap}}}}}")), Window::Session { gap_millis });
    }
}

#[test]
fn windows_hold_their_times() {
    let at = |millis| Timestamp::saturating_from_millis(millis);
    let starts = |window: Window, time| window.starts(at(time)).map(Timestamp::millis).collect::<Vec<_>>();
    let tumbling = Window::Tumbling { size_millis: 10 };
    assert_eq!(starts(tumbling, 0), [0]);
    assert_eq!(starts(tumbling, 19), [10]);
    assert_eq!(starts(tumbling, -1), [-10]);
    let sliding = Window::Sliding { size_millis: 10, step_millis: 4 };
    assert_eq!(starts(sliding, 9), [0, 4, 8]);
    assert_eq!(starts(sliding, 10), [4, 8]);
    assert_eq!(starts(sliding, 8), [0, 4, 8]);
}
