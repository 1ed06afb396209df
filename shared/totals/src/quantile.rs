//! Quantiles with a bounded relative error.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Buckets that a sketch keeps; beyond it the lowest are joined.
const MAX_BUCKETS: usize = 1024;
/// Relative accuracy of an answer.
const ACCURACY: f64 = 0.01;

/// DDSketch (Masson, Rim, Lee 2019, "DDSketch: a fast and fully-mergeable
/// quantile sketch with relative-error guarantees"): values fall into buckets
/// whose bounds grow by a constant factor, so an answer is within 1 % of the
/// true quantile's value. Values at or below zero share one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct QuantileSketch {
    /// Counts by index `i`, of values above `gamma^(i-1)` up to `gamma^i`, with
    /// gamma = 1.01 / 0.99.
    #[serde(deserialize_with = "buckets")]
    buckets: BTreeMap<i32, u64>,
    /// Values at or below zero.
    zero: u64,
}

/// JSON's names of members are texts. serde reads them as numbers only where it
/// reads a member at once, which it does not where the kind of a measure follows
/// its state.
fn buckets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<i32, u64>, D::Error> {
    let named = BTreeMap::<Cow<'de, str>, u64>::deserialize(deserializer)?;
    let bucket = |(name, count): (Cow<'de, str>, u64)| Ok((name.parse().map_err(de::Error::custom)?, count));
    named.into_iter().map(bucket).collect()
}

impl QuantileSketch {
    fn gamma_ln() -> f64 {
        ((1.0 + ACCURACY) / (1.0 - ACCURACY)).ln()
    }

    /// Adds a value; answers false where it is not finite and was left out.
    pub fn insert(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        if value <= 0.0 {
            self.zero += 1;
        } else {
            #[allow(clippy::cast_possible_truncation, reason = "ln of a finite f64 over gamma is within +-40,000")]
            let index = (value.ln() / Self::gamma_ln()).ceil() as i32;
            *self.buckets.entry(index).or_default() += 1;
            self.shrink();
        }
        true
    }

    /// Adds the counts of `other`, which must hold other events.
    pub fn add(&mut self, other: &Self) {
        self.zero = self.zero.saturating_add(other.zero);
        for (index, count) in &other.buckets {
            let total = self.buckets.entry(*index).or_default();
            *total = total.saturating_add(*count);
        }
        self.shrink();
    }

    /// The value at `quantile` (0 to 1), or `None` where there is none.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.buckets.values().fold(self.zero, |sum, count| sum.saturating_add(*count));
        if total == 0 {
            return None;
        }
        let rank = (quantile.clamp(0.0, 1.0) * (total - 1) as f64).floor() as u64;
        let mut seen = self.zero;
        if rank < seen {
            return Some(0.0);
        }
        for (index, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if rank < seen {
                let gamma = Self::gamma_ln().exp();
                return Some(2.0 * (f64::from(*index) * Self::gamma_ln()).exp() / (gamma + 1.0));
            }
        }
        None
    }

    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    fn shrink(&mut self) {
        while self.buckets.len() > MAX_BUCKETS {
            let Some((_, count)) = self.buckets.pop_first() else { return };
            match self.buckets.first_entry() {
                Some(mut next) => {
                    let total = next.get_mut();
                    *total = total.saturating_add(count);
                }
                None => self.zero = self.zero.saturating_add(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_within_one_percent() {
        let mut sketch = QuantileSketch::default();
        for n in 1..=10_000 {
            assert!(sketch.insert(f64::from(n)));
        }
        assert!(!sketch.insert(f64::NAN));
        for quantile in [0.01, 0.5, 0.9, 0.99] {
            let truth = 10_000.0 * quantile;
            let answer = sketch.quantile(quantile).expect("values are there");
            assert!((answer - truth).abs() / truth < 0.012, "p{quantile}: {answer} for {truth}");
        }
    }
}
