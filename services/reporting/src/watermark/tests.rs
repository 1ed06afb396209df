use proptest::{collection::vec, prelude::*};

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn says(raw_seq: u64, watermark: Option<i64>, idle: bool) -> PartitionProgress {
    PartitionProgress { raw_seq, as_of: at(0), part: 0, watermark: watermark.map(at), idle }
}

fn of(partitions: &[PartitionProgress]) -> Watermarks {
    let mut watermarks = Watermarks::default();
    for (index, progress) in (0..).zip(partitions) {
        watermarks.observe(Partition::new(index), *progress);
    }
    watermarks
}

#[test]
fn the_slowest_live_partition_decides() {
    assert_eq!(of(&[says(1, Some(50), false), says(1, Some(30), false)]).watermark(), Some(at(30)));
    assert_eq!(of(&[says(1, Some(50), false), says(1, Some(30), true)]).watermark(), Some(at(50)));
    assert_eq!(of(&[says(1, Some(50), false), says(1, None, false)]).watermark(), None);
    assert_eq!(of(&[says(1, Some(50), false), says(1, None, true)]).watermark(), Some(at(50)));
}

#[test]
fn when_all_are_idle_the_past_is_complete() {
    let mut watermarks = of(&[says(7, Some(50), true), says(9, Some(30), true)]);
    let settled = Truth { as_of: Some(at(1000)), watermark: Some(at(50)), complete_until: Some(at(1000)) };
    assert_eq!(watermarks.truth_at(at(1000)), settled);
    watermarks.received(Partition::new(1), 10);
    let behind = Truth { as_of: None, complete_until: Some(at(50)), ..settled };
    assert_eq!(watermarks.truth_at(at(1000)), behind, "a batch is on its way");
    watermarks.observe(Partition::new(1), says(10, Some(40), false));
    let counted = Truth { watermark: Some(at(40)), complete_until: Some(at(40)), ..settled };
    assert_eq!(watermarks.truth_at(at(1000)), counted, "it is counted, and its source may go on");
}

#[test]
fn a_partition_that_has_batches_and_no_totals_holds_all_windows_open() {
    let mut watermarks = of(&[says(7, Some(50), false)]);
    watermarks.received(Partition::new(3), 8);
    assert_eq!(watermarks.truth_at(at(1000)), Truth::default());
}

#[test]
fn where_nothing_was_ever_received_nothing_is_complete_for_good() {
    assert!(Watermarks::default().is_empty());
    assert_eq!(Watermarks::default().truth_at(at(9)), Truth { as_of: Some(at(9)), ..Truth::default() });
}

fn progress() -> impl Strategy<Value = (u16, PartitionProgress)> {
    (0u16..3, 0u64..5, 0i64..3, 0u32..2).prop_map(|(partition, raw_seq, as_of, part)| {
        // What a partition says is a function of the position.
        let watermark = (raw_seq > 0).then_some(at(raw_seq.cast_signed() * 10 + as_of));
        (
            partition,
            PartitionProgress {
                raw_seq,
                as_of: at(as_of),
                part,
                watermark,
                idle: (raw_seq + u64::from(part)) % 2 == 0,
            },
        )
    })
}

proptest! {
    #[test]
    fn order_and_repeats_change_nothing(said in vec(progress(), 0..20), turn in 0usize..20) {
        let observe = |all: &mut dyn Iterator<Item = &(u16, PartitionProgress)>| {
            let mut watermarks = Watermarks::default();
            all.for_each(|(partition, progress)| watermarks.observe(Partition::new(*partition), *progress));
            watermarks
        };
        let mut turned = said.clone();
        turned.rotate_left(turn % said.len().max(1));
        prop_assert_eq!(observe(&mut said.iter()), observe(&mut turned.iter().rev().chain(&said)));
    }
}
