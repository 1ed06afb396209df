//! Partitions of the log, and which one a key belongs to.

use std::{fmt, num::NonZeroU16};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One partition of the log, from 0 to the partition count less one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maximum" = 1023))]
pub struct Partition(u16);

impl Partition {
    /// The partition with this index. Meaningful only below the installation's
    /// [`PartitionCount`].
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The index.
    pub const fn index(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions the log has; fixed when Tidemill is installed, because
/// it decides where a key's history lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PartitionCount(NonZeroU16);

/// A partition count outside 1 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the partition count must be between 1 and 1024")]
pub struct PartitionCountError;

impl PartitionCount {
    /// The number of partitions.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The partition that `key` belongs to: CRC-32 (the ISO-HDLC one of zlib,
    /// gzip and PNG, so every language has it) of the key's UTF-8 bytes,
    /// modulo the partition count.
    pub fn partition_of(self, key: &str) -> Partition {
        let hash = crc32fast::hash(key.as_bytes());
        #[allow(clippy::cast_possible_truncation, reason = "a remainder of a u16 fits a u16")]
        Partition((hash % u32::from(self.0.get())) as u16)
    }

    /// All partitions, in order.
    pub fn all(self) -> impl Iterator<Item = Partition> + Clone {
        (0..self.0.get()).map(Partition)
    }
}

impl Default for PartitionCount {
    fn default() -> Self {
        Self(NonZeroU16::MIN.saturating_add(7))
    }
}

impl TryFrom<u16> for PartitionCount {
    type Error = PartitionCountError;
    fn try_from(count: u16) -> Result<Self, PartitionCountError> {
        match NonZeroU16::new(count) {
            Some(count) if count.get() <= 1024 => Ok(Self(count)),
            _ => Err(PartitionCountError),
        }
    }
}

impl From<PartitionCount> for u16 {
    fn from(count: PartitionCount) -> Self {
        count.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors for implementations in other languages, checked against
    /// Python's `zlib.crc32(key.encode()) % count`.
    #[test]
    fn the_hash_is_the_documented_one() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        let eight = PartitionCount::default();
        assert_eq!(eight.get(), 8);
        for (key, index) in [("", 0), ("123456789", 6), ("17850", 1), ("Zo\u{eb}", 2)] {
            assert_eq!(eight.partition_of(key).index(), index, "{key}");
        }
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!(PartitionCount::try_from(0), Err(PartitionCountError));
        assert_eq!(PartitionCount::try_from(1025), Err(PartitionCountError));
        assert_eq!(PartitionCount::try_from(3).expect("three").all().count(), 3);
    }
}
