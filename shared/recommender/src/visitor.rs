//! Visitors.

use xxhash_rust::xxh3::xxh3_64;

/// Who, as a hash (XXH3): no id of a person is kept. Of a million visitors two
/// have the same one with a probability of 3 in 100 million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VisitorKey(pub(crate) u64);

impl VisitorKey {
    pub(crate) fn of(visitor: &str) -> Self {
        Self(xxh3_64(visitor.as_bytes()))
    }
}
