use xxhash_rust::xxh3::xxh3_128;

use super::*;

fn key(n: u64) -> EventKey {
    EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

#[test]
fn each_key_is_in_its_block_with_its_last_sighting() {
    let span = BatchSpan { first: 1, last: 9, first_clock: at(0), last_clock: at(10_000) };
    // Every third came again later, and is told first.
    let again = (0..5000).step_by(3).map(|n| (key(n), at(10_000)));
    let keys = again.chain((0..5000).map(|n| (key(n), at(n.cast_signed())))).collect();
    let (segment, blocks) = earlier::seal(span, keys);
    assert_eq!((segment.keys, blocks.len()), (5000, 10));
    let block_of = |doubt: Doubt| match doubt.block {
        BlockName::Segment(9, number) => &blocks[number as usize],
        other => panic!("{other:?}"),
    };
    for block in &blocks {
        assert_eq!(SegmentBlock::from_bytes(block.as_bytes().to_vec()).as_ref(), Some(block));
    }
    for n in 0..5000 {
        let doubt = segment.doubt(key(n)).expect("it may be there");
        let seen = if n % 3 == 0 { 10_000 } else { n.cast_signed() };
        assert_eq!(block_of(doubt).last_seen(doubt.key), Some(at(seen)), "{n}");
    }
    for doubt in (5000..105_000).filter_map(|n| segment.doubt(key(n))) {
        assert_eq!(block_of(doubt).last_seen(doubt.key), None, "a filter may be wrong, a block is not");
    }
    assert_eq!(SegmentBlock::from_bytes(vec![0; 25]), None);
}
