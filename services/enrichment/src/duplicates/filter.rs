//! A compact filter over many keys.

#[cfg(test)]
mod tests;

use xorf::{BinaryFuse8, BinaryFuse16, Descriptor, Filter};

use super::Lane;

/// Bytes of the part that says how to read the rest.
const HEAD: usize = 20;

/// Tells of a hash whether it may be among those that the filter was made of: of one
/// that is, always; of others, seldom (Graf and Lemire, Binary Fuse Filters, 2022).
#[derive(Debug)]
pub(crate) enum KeyFilter {
    /// Wrong once in 65,536 times, at 18 bits a key.
    Wide(BinaryFuse16),
    /// Wrong once in 256 times, at 9 bits a key.
    Narrow(BinaryFuse8),
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterWidth {
    Wide,
    Narrow,
}

impl FilterWidth {
    /// Keys of all ranges are few, and the runs of them many.
    pub(crate) fn of(lane: Option<Lane>) -> Self {
        if lane.is_none() { Self::Wide } else { Self::Narrow }
    }
}

impl KeyFilter {
    /// `None` where no filter could be made, which takes a chance of less than
    /// one in a million a thousand times over.
    pub(super) fn of(hashes: impl Iterator<Item = u64>, width: FilterWidth) -> Option<Self> {
        let mut hashes: Vec<u64> = hashes.collect();
        hashes.sort_unstable();
        hashes.dedup();
        match width {
            FilterWidth::Wide => BinaryFuse16::try_from(hashes).ok().map(Self::Wide),
            FilterWidth::Narrow => BinaryFuse8::try_from(hashes).ok().map(Self::Narrow),
        }
    }

    pub(super) fn may_hold(&self, hash: u64) -> bool {
        match self {
            Self::Wide(filter) => filter.contains(&hash),
            Self::Narrow(filter) => filter.contains(&hash),
        }
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        HEAD + match self {
            Self::Wide(filter) => filter.fingerprints.len() * 2,
            Self::Narrow(filter) => filter.fingerprints.len(),
        }
    }

    /// For the store: seed, lengths and fingerprints, each little-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (Self::Wide(BinaryFuse16 { descriptor, .. }) | Self::Narrow(BinaryFuse8 { descriptor, .. })) = self;
        let Descriptor { seed, segment_length, segment_length_mask, segment_count_length } = descriptor;
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(&seed.to_le_bytes());
        for length in [segment_length, segment_length_mask, segment_count_length] {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        match self {
            Self::Wide(filter) => bytes.extend(filter.fingerprints.iter().flat_map(|print| print.to_le_bytes())),
            Self::Narrow(filter) => bytes.extend_from_slice(&filter.fingerprints),
        }
        bytes
    }

    /// `None` where these bytes are no filter of this width.
    pub(crate) fn from_bytes(bytes: &[u8], width: FilterWidth) -> Option<Self> {
        let (seed, rest) = bytes.split_first_chunk()?;
        let (lengths, rest) = rest.split_first_chunk::<12>()?;
        let ([segment_length, segment_length_mask, segment_count_length], []) = lengths.as_chunks::<4>() else {
            return None;
        };
        let [segment_length, segment_length_mask, segment_count_length] =
            [segment_length, segment_length_mask, segment_count_length].map(|bytes| u32::from_le_bytes(*bytes));
        let (pairs, odd) = rest.as_chunks::<2>();
        let fingerprints = match width {
            FilterWidth::Wide if odd.is_empty() => pairs.len(),
            FilterWidth::Wide => return None,
            FilterWidth::Narrow => rest.len(),
        };
        // Whatever the key, what is looked at then lies within.
        let is_whole = segment_length.is_power_of_two()
            && segment_length_mask == segment_length - 1
            && segment_count_length.is_multiple_of(segment_length)
            && fingerprints as u64 == u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let descriptor =
            Descriptor { seed: u64::from_le_bytes(*seed), segment_length, segment_length_mask, segment_count_length };
        is_whole.then(|| match width {
            FilterWidth::Wide => {
                let fingerprints = pairs.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
                Self::Wide(BinaryFuse16 { descriptor, fingerprints })
            }
            FilterWidth::Narrow => Self::Narrow(BinaryFuse8 { descriptor, fingerprints: rest.into() }),
        })
    }
}
