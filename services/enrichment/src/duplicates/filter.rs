//! A compact filter over many keys.

#[cfg(test)]
mod tests;

use xorf::{BinaryFuse16, Descriptor, Filter};

use super::EventKey;

/// Bytes of the part that says how to read the rest.
const HEAD: usize = 20;

/// Tells of a key whether it may be among those that the filter was made of: of
/// one that is, always; of 65,536 others, one. Takes 18 bits a key (Graf and
/// Lemire, Binary Fuse Filters, 2022).
#[derive(Debug)]
pub(crate) struct KeyFilter(BinaryFuse16);

impl KeyFilter {
    /// `None` where no filter could be made, which takes a chance of less than
    /// one in a million a thousand times over.
    pub(super) fn of(keys: impl Iterator<Item = EventKey>) -> Option<Self> {
        let mut hashes: Vec<u64> = keys.map(EventKey::low).collect();
        hashes.sort_unstable();
        hashes.dedup();
        BinaryFuse16::try_from(hashes).ok().map(Self)
    }

    pub(super) fn may_hold(&self, key: EventKey) -> bool {
        self.0.contains(&key.low())
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        HEAD + self.0.fingerprints.len() * 2
    }

    /// For the store: seed, lengths and fingerprints, each little-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Descriptor { seed, segment_length, segment_length_mask, segment_count_length } = self.0.descriptor;
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(&seed.to_le_bytes());
        for length in [segment_length, segment_length_mask, segment_count_length] {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend(self.0.fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()));
        bytes
    }

    /// `None` where these bytes are no filter.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seed, rest) = bytes.split_first_chunk()?;
        let (lengths, rest) = rest.split_first_chunk::<12>()?;
        let ([segment_length, segment_length_mask, segment_count_length], []) = lengths.as_chunks::<4>() else {
            return None;
        };
        let [segment_length, segment_length_mask, segment_count_length] =
            [segment_length, segment_length_mask, segment_count_length].map(|bytes| u32::from_le_bytes(*bytes));
        let (fingerprints, []) = rest.as_chunks::<2>() else { return None };
        // Whatever the key, what is looked at then lies within.
        let is_whole = segment_length.is_power_of_two()
            && segment_length_mask == segment_length - 1
            && segment_count_length.is_multiple_of(segment_length)
            && fingerprints.len() as u64 == u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let descriptor =
            Descriptor { seed: u64::from_le_bytes(*seed), segment_length, segment_length_mask, segment_count_length };
        let fingerprints = fingerprints.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        is_whole.then_some(Self(BinaryFuse16 { descriptor, fingerprints }))
    }
}
