use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::duplicates::EventKey;

/// The hashes of a segment of a release before this one.
fn hashes(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
    range.map(|n| EventKey::from_bytes(xxh3_128(&n.to_be_bytes()).to_be_bytes()).low())
}

#[test]
fn a_filter_knows_its_keys_and_few_others() {
    for (width, most_wrong, bits) in [(FilterWidth::Wide, 20, 20), (FilterWidth::Narrow, 600, 10)] {
        for count in [1, 2, 3, 5, 100, 4096, 100_000] {
            let filter = KeyFilter::of(hashes(0..count).chain(hashes(0..count / 2)), width).expect("a filter");
            let filter = KeyFilter::from_bytes(&filter.to_bytes(), width).expect("it is read again");
            assert!(hashes(0..count).all(|key| filter.may_hold(key)), "{count}");
            let wrong = hashes(1_000_000..1_100_000).filter(|key| filter.may_hold(*key)).count();
            assert!(wrong < most_wrong, "{wrong} of 100,000 beside {count}");
            if count == 100_000 {
                assert!(filter.bytes() * 8 < 100_000 * bits, "{}", filter.bytes());
            }
        }
    }
}

/// Filters are stored: another release of the library must read them alike.
#[test]
fn a_stored_filter_is_read_as_it_was_made() {
    let filter = KeyFilter::of(hashes(0..5), FilterWidth::Wide).expect("a filter").to_bytes();
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
fn a_stored_narrow_filter_is_read_as_it_was_made() {
    let filter = KeyFilter::of(hashes(0..5), FilterWidth::Narrow).expect("a filter");
    let bytes = filter.to_bytes();
    assert_eq!(bytes.len(), filter.bytes());
    assert_eq!(&bytes[8..20], [8, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0]);
    let fingerprints = "000000000000000000c3000000000000000dda000046e700";
    assert_eq!(bytes[20..].iter().map(|byte| format!("{byte:02x}")).collect::<String>(), fingerprints);
}

#[test]
fn what_is_no_filter_is_refused() {
    for width in [FilterWidth::Wide, FilterWidth::Narrow] {
        let bytes = KeyFilter::of(hashes(0..100), width).expect("a filter").to_bytes();
        for end in [0, 7, 19, 20, bytes.len() - 1, bytes.len() - 2] {
            assert!(KeyFilter::from_bytes(&bytes[..end], width).is_none(), "{end}");
        }
        for place in [8, 12, 16] {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert!(KeyFilter::from_bytes(&bytes, width).is_none(), "{place}");
        }
    }
}
