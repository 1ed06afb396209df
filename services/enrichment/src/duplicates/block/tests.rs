use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::duplicates::{EventKey, entry::ordered};

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

/// Different keys that begin with the same bits, but for so many.
fn keys(count: u64, bits: u32) -> Vec<Entry> {
    let entry = |n: u64| {
        let key = EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes());
        let bits = Fingerprint::of(key).bits() & ((1 << bits) - 1);
        Entry::new(Fingerprint::from_bits(bits), at(n.cast_signed() * 37))
    };
    ordered((0..count).map(entry).collect())
}

fn ticks(entries: &[Entry], tick: u32) -> Vec<Entry> {
    entries.iter().map(|entry| Entry::new(entry.fingerprint(), entry.seen().floor_to(tick.into()))).collect()
}

/// What is read from the blocks again.
fn read(blocks: &[(u32, KeyBlock)]) -> Vec<Entry> {
    let again = |block: &KeyBlock| KeyBlock::from_bytes(block.as_bytes().to_vec()).expect("is a block");
    blocks.iter().flat_map(|(_, block)| again(block).entries().collect::<Vec<_>>()).collect()
}

#[test]
fn blocks_have_the_keys_that_they_were_made_of() {
    for (count, bits) in [(1, 80), (2, 80), (3, 3), (500, 80), (40_000, 76), (3_000, 50), (1_000, 40), (200, 8)] {
        let entries = keys(count, bits);
        let blocks = cut(&entries, 1000);
        assert_eq!(read(&blocks), ticks(&entries, 1000), "{count} of {bits}");
        let fences: Vec<u32> = blocks.iter().map(|(fence, _)| *fence).collect();
        assert!(fences.is_sorted_by(|one, other| one < other), "{count} of {bits}");
        if bits == 76 {
            assert!(blocks.iter().all(|(_, block)| block.as_bytes().len() <= MOST_BYTES));
        }
    }
    assert_eq!(cut(&[], 1000), []);
}

#[test]
fn a_key_takes_nine_and_a_half_bytes_where_there_are_many() {
    // As close together as a million in a sixteenth of all keys.
    let mut entries = keys(50_000, 72);
    entries.iter_mut().for_each(|entry| *entry = Entry::new(entry.fingerprint(), at(10_000 * 37)));
    entries[7] = Entry::new(entries[7].fingerprint(), at(6 * 24 * 3_600_000));
    let blocks = cut(&entries, 10_000);
    let bytes: usize = blocks.iter().map(|(_, block)| block.as_bytes().len()).sum();
    assert!(bytes < entries.len() * 95 / 10, "{bytes} for {}", entries.len());
    let full = blocks[..blocks.len() - 1].iter().filter(|(_, block)| block.as_bytes().len() > MOST_BYTES - 20);
    assert_eq!(full.count(), blocks.len() - 1);
}

/// Blocks are stored: another release must read them alike.
#[test]
fn a_stored_block_is_read_as_it_was_made() {
    let entry = |bits: u128, millis| Entry::new(Fingerprint::from_bits(bits), at(millis));
    let entries = [entry(0x1234_5678_9abc_def0_1122, 20_000), entry(0x1234_5678_9abc_def0_1400, 45_000)];
    let blocks = cut(&entries, 10_000);
    let bytes = [
        2, 0, 0, 0, 1, 1, 0x10, 0x27, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x22, 0x11, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56,
        0x34, 0x12, 0b1_0001, 0x22, 0, 0, 2,
    ];
    assert_eq!(blocks, [(0x1234_5678, KeyBlock::from_bytes(bytes.to_vec()).expect("is a block"))]);
}

#[test]
fn what_is_no_block_is_refused() {
    let (_, block) = cut(&keys(100, 80), 1000).remove(0);
    for end in [0, 1, HEAD - 1, HEAD, HEAD + 3, block.as_bytes().len() - 1] {
        assert!(KeyBlock::from_bytes(block.as_bytes()[..end].to_vec()).is_none(), "{end}");
    }
    for place in [0, 4, 5, HEAD] {
        let mut bytes = block.as_bytes().to_vec();
        bytes[place] ^= 0x40;
        assert!(KeyBlock::from_bytes(bytes).is_none(), "{place}");
    }
}

proptest! {
    #[test]
    fn whatever_the_keys_each_is_found_and_no_other(
        raw in prop::collection::vec((any::<u128>(), -100_000_i64..100_000_000_000), 1..900),
        bits in 2_u32..=80,
        tick in prop_oneof![Just(1_u32), Just(10_000)],
        strange in any::<[u128; 8]>(),
    ) {
        let fingerprint = |n: u128| Fingerprint::from_bits(n & ((1 << bits) - 1));
        let entries = ordered(raw.iter().map(|(n, seen)| Entry::new(fingerprint(*n), at(*seen))).collect());
        let blocks = cut(&entries, tick);
        let expected = ticks(&entries, tick);
        prop_assert_eq!(&read(&blocks), &expected);
        let find = |wanted: Fingerprint| blocks.iter().find_map(|(_, block)| block.last_seen(wanted));
        for entry in &expected {
            prop_assert_eq!(find(entry.fingerprint()), Some(entry.seen()));
        }
        for wanted in strange.map(fingerprint) {
            let is_there = entries.binary_search_by_key(&wanted, |entry| entry.fingerprint()).is_ok();
            prop_assert_eq!(find(wanted).is_some(), is_there);
        }
    }
}
