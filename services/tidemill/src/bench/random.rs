//! Random numbers by place: the n-th is known without those before it, so that
//! senders at once make the same events as one alone.

/// The number of a place (SplitMix64; S. Vigna, prng.di.unimi.it).
pub(super) fn at(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `bound`, of 32 random bits.
#[allow(clippy::cast_possible_truncation, reason = "a product of two 32-bit numbers, shifted by 32, has 32 bits")]
pub(super) fn below(bits: u32, bound: u32) -> u32 {
    ((u64::from(bits) * u64::from(bound)) >> 32) as u32
}
