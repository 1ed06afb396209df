use tidemill_events::LogPosition;

use super::*;
use crate::testing::at;

/// A place of the log that was taken in at a second.
fn place(second: u64) -> Option<LogPosition> {
    Some(LogPosition { raw_seq: second, ingested_at: at(second.cast_signed() * 1000) })
}

fn span(after: u64, up_to: Option<u64>) -> UncountedSpan {
    UncountedSpan { after: place(after), up_to: up_to.and_then(place) }
}

fn time(from: i64, to: Option<i64>) -> UncountedTime {
    UncountedTime { from: at(from * 1000), to: to.map(|to| at(to * 1000)) }
}

#[test]
fn what_any_partition_lacks_is_not_counted() {
    assert_eq!(Counting::of(&[]), Counting::default());
    let newer = |second| UncountedSpan { after: None, up_to: place(second) };
    let partitions = [
        vec![newer(10), span(20, Some(30)), span(50, Some(60))],
        vec![newer(12), span(25, Some(35)), span(55, None)],
        // It was changed and changed back before anything came.
        vec![span(40, Some(40))],
        // Another had not begun to count by then.
        vec![span(8, Some(11))],
        Vec::new(),
    ];
    let counting = Counting::of(&partitions);
    let expected = Counting { counted_from: Some(at(12_000)), uncounted: vec![time(20, Some(35)), time(50, None)] };
    assert_eq!(counting, expected);
    let since = |second: i64| counting.clone().since(Some(at(second * 1000)));
    assert_eq!(counting.clone().since(None), counting);
    assert_eq!(since(11), counting);
    assert_eq!(since(12), Counting { counted_from: None, ..counting.clone() });
    assert_eq!(since(35).uncounted, [time(50, None)]);
    assert_eq!(since(1000).uncounted, [time(50, None)], "it is not in force");
}

#[test]
fn all_of_the_log_says_nothing() {
    let told = serde_json::to_value(Counting::default()).expect("JSON");
    assert_eq!(told, serde_json::json!({}));
}
