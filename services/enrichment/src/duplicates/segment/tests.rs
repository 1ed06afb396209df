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
    let span = SegmentSpan { first: 1, last: 9, first_clock: at(0), last_clock: at(10_000) };
    // Every third came again later, and is told first.
    let again = (0..5000).step_by(3).map(|n| (key(n), at(10_000)));
    let keys = again.chain((0..5000).map(|n| (key(n), at(n.cast_signed())))).collect();
    let sealed = SealableKeys { span, keys }.seal().expect("is sealed");
    assert_eq!((sealed.segment.keys, sealed.blocks.len()), (5000, 10));
    for block in &sealed.blocks {
        assert_eq!(Block::from_bytes(block.as_bytes().to_vec()).as_ref(), Some(block));
    }
    for n in 0..5000 {
        let Doubt { key, block } = sealed.segment.doubt(key(n)).expect("it may be there");
        assert_eq!(block.segment, 9);
        let seen = if n % 3 == 0 { 10_000 } else { n.cast_signed() };
        assert_eq!(sealed.blocks[block.block as usize].last_seen(key), Some(at(seen)), "{n}");
    }
    let others = (5000..105_000).filter_map(|n| sealed.segment.doubt(key(n)));
    for Doubt { key, block } in others {
        assert_eq!(sealed.blocks[block.block as usize].last_seen(key), None, "a filter may be wrong, a block is not");
    }
    assert_eq!(Block::from_bytes(vec![0; 25]), None);
}

#[test]
fn the_last_of_several_sightings_counts() {
    let block = |seen| {
        let span = SegmentSpan { first: 1, last: 1, first_clock: at(seen), last_clock: at(seen) };
        let keys = vec![(key(1), at(seen))];
        SealableKeys { span, keys }.seal().expect("is sealed").blocks.remove(0)
    };
    let mut sightings = Sightings::default();
    for seen in [5, 9, 7] {
        sightings.add(key(1), &block(seen));
        sightings.add(key(2), &block(seen));
    }
    assert!(sightings.has_since(key(1), at(9)));
    assert!(!sightings.has_since(key(1), at(10)) && !sightings.has_since(key(2), at(0)));
}
