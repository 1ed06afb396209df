use super::*;
use crate::duplicates::{BatchSpan, RunEntries, segment::earlier};

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

#[test]
fn the_last_of_several_sightings_counts() {
    let key = |n: u64| EventKey::of("shop", &n.to_string(), &mut Vec::new());
    let span = |seen| BatchSpan { first: 1, last: 1, first_clock: at(seen), last_clock: at(seen) };
    let of_run = |seen| {
        let sealed = RunEntries::of(span(seen), &[(key(1), at(seen))]).sealed(1, 0).expect("is sealed");
        Block::Run(sealed.blocks.into_iter().next().expect("has a block"))
    };
    let of_segment = |seen| {
        let (_, blocks) = earlier::seal(span(seen), vec![(key(1), at(seen))]);
        Block::Segment(blocks.into_iter().next().expect("has a block"))
    };
    let mut sightings = Sightings::default();
    for block in [of_segment(5), of_run(9), of_segment(7), of_run(8)] {
        sightings.add(key(1), &block);
        sightings.add(key(2), &block);
    }
    assert!(sightings.has_since(key(1), at(9)));
    assert!(!sightings.has_since(key(1), at(10)) && !sightings.has_since(key(2), at(0)));
}
