use xxhash_rust::xxh3::xxh3_128;

use super::*;

fn keys(range: std::ops::Range<u64>) -> impl Iterator<Item = EventKey> {
    range.map(|n| EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes()))
}

#[test]
fn a_filter_knows_its_keys_and_few_others() {
    for count in [1, 2, 3, 5, 100, 4096, 100_000] {
        let filter = KeyFilter::of(keys(0..count).chain(keys(0..count / 2))).expect("a filter");
        let filter = KeyFilter::from_bytes(&filter.to_bytes()).expect("it is read again");
        assert!(keys(0..count).all(|key| filter.may_hold(key)), "{count}");
        let wrong = keys(1_000_000..1_100_000).filter(|key| filter.may_hold(*key)).count();
        assert!(wrong < 20, "{wrong} of 100,000 beside {count}");
        if count == 100_000 {
            assert!(filter.bytes() * 8 < 100_000 * 20, "{}", filter.bytes());
        }
    }
}

/// Filters are stored: another release of the library must read them alike.
#[test]
fn a_stored_filter_is_read_as_it_was_made() {
    let filter = KeyFilter::of(keys(0..5)).expect("a filter").to_bytes();
    let golden = [
        0xc15c_0289_u32,
        0xec2d_0a91,
        0x0800_0000,
        0x0700_0000,
        0x0800_0000,
        0,
        0,
        0,
        0,
        0xc398,
        0,
        0,
        0,
        0x0db0,
        0xda25_0000,
        0x4683,
        0xe7aa_0000,
    ];
    assert_eq!(filter, golden.map(u32::to_be_bytes).concat());
}

#[test]
fn what_is_no_filter_is_refused() {
    let bytes = KeyFilter::of(keys(0..100)).expect("a filter").to_bytes();
    for end in [0, 7, 19, 20, bytes.len() - 1, bytes.len() - 2] {
        assert!(KeyFilter::from_bytes(&bytes[..end]).is_none(), "{end}");
    }
    for place in [8, 12, 16] {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1;
        assert!(KeyFilter::from_bytes(&bytes).is_none(), "{place}");
    }
}
