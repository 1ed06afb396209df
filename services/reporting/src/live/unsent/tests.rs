use super::*;
use crate::testing::at;

fn key(start: i64) -> MergedCellKey {
    MergedCellKey { metric: "m".into(), version: "1".into(), start: at(start), dimensions: "{}".into() }
}

#[test]
fn changes_go_once_and_the_newest_first() {
    let mut changes = UnsentCells::default();
    [3, 1, 2, 3].into_iter().for_each(|start| changes.changed(key(start)));
    let taken: Vec<_> = changes.take(2).remove("m").expect("one metric").iter().map(|key| key.start).collect();
    assert_eq!((taken, changes.is_waiting()), (vec![at(3), at(2)], true));
    (0..).take(WAITING + 1).for_each(|start| changes.changed(key(start)));
    assert!(changes.overflowed);
}

#[test]
fn a_window_that_closes_is_sent_again() {
    let mut changes = UnsentCells::default();
    changes.sent_open(at(10), key(0));
    changes.sent_open(at(20), key(10));
    changes.complete(at(9));
    assert!(!changes.is_waiting());
    changes.complete(at(10));
    assert_eq!(changes.take(9).remove("m").expect("one"), [key(0)]);
}
