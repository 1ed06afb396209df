//! Events by their names.

use std::hash::Hasher;

use xxhash_rust::xxh3::xxh3_128;

/// An event's name: the 128-bit XXH3 hash of its source, a NUL and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventKey {
    high: u64,
    low: u64,
}

impl EventKey {
    pub(crate) const BYTES: usize = 16;

    /// `scratch` is overwritten; it saves an allocation per event.
    pub(crate) fn of(source: &str, id: &str, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(source.as_bytes());
        // Neither holds control characters, so no two pairs read alike.
        scratch.push(0);
        scratch.extend_from_slice(id.as_bytes());
        Self::from_bytes(xxh3_128(scratch).to_be_bytes())
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { high: (hash >> 64) as u64, low: hash as u64 }
    }
}

impl std::hash::Hash for EventKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// A key is a hash already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
