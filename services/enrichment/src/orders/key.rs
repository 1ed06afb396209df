//! Orders by their ids.

use xxhash_rust::xxh3::xxh3_128;

/// The 128-bit XXH3 hash of an order's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OrderKey([u8; Self::BYTES]);

impl OrderKey {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn of(id: &str) -> Self {
        Self(xxh3_128(id.as_bytes()).to_be_bytes())
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}
