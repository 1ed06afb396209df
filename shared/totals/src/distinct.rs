//! Distinct counts.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Hashes that a sketch keeps. The standard error of the estimate is
/// 1/sqrt(k - 2), 3.1 % here (Bar-Yossef et al. 2002, "Counting distinct
/// elements in a data stream"; Beyer et al. 2007 for the unbiased estimator).
pub const SKETCH_SIZE: usize = 1024;

/// A set of values of which only the k smallest hashes are kept (the k minimum
/// values sketch): exact up to [`SKETCH_SIZE`] values, an estimate beyond.
///
/// The union of two sketches is the sketch of the union, so merging is
/// associative, commutative and idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(
    inline,
    description = "64-bit XXH3 hashes of the values, ascending.",
    extend("maxItems" = SKETCH_SIZE)
)]
pub struct Distinct(BTreeSet<u64>);

impl Distinct {
    /// Adds a value; answers whether the set changed.
    pub fn insert(&mut self, value: &str) -> bool {
        let changed = self.0.insert(xxh3_64(value.as_bytes()));
        self.shrink();
        changed
    }

    /// Adds a value by its hash, the 64 bits of XXH3.
    pub fn insert_hash(&mut self, hash: u64) {
        self.0.insert(hash);
        self.shrink();
    }

    /// The hashes that it keeps, ascending.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = u64> {
        self.0.iter().copied()
    }

    /// The union with `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.shrink();
    }

    /// How many distinct values there are, as far as the sketch can tell.
    pub fn estimate(&self) -> u64 {
        match self.0.last() {
            Some(&largest) if self.0.len() == SKETCH_SIZE => {
                let share = (largest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
                ((SKETCH_SIZE - 1) as f64 / share).round() as u64
            }
            _ => self.0.len() as u64,
        }
    }

    /// Whether [`estimate`](Self::estimate) is the exact count.
    pub fn is_exact(&self) -> bool {
        self.0.len() < SKETCH_SIZE
    }

    fn shrink(&mut self) {
        while self.0.len() > SKETCH_SIZE {
            self.0.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exact_below_its_size_and_close_above() {
        let mut set = Distinct::default();
        for n in 0..1000 {
            set.insert(&format!("customer-{n}"));
            set.insert(&format!("customer-{n}"));
        }
        assert_eq!((set.estimate(), set.is_exact()), (1000, true));
        for n in 0..100_000 {
            set.insert(&format!("customer-{n}"));
        }
        assert!(!set.is_exact());
        let error = (set.estimate() as f64 - 100_000.0).abs() / 100_000.0;
        assert!(error < 4.0 * 0.031, "off by {error}");
    }
}
