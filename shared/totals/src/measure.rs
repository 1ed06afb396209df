//! The state behind each measure, and how states add up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use crate::{Distinct, QuantileSketch};

/// The running state of one measure in one window. States of partitions add
/// up as told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "state", rename_all = "snake_case")]
pub enum Measure {
    /// How many rows; states are added.
    Count(u64),
    /// The exact sum; states are added.
    Sum(Amount),
    /// The smallest value; of several states, the least.
    Min(Option<Amount>),
    /// The largest value; of several states, the greatest.
    Max(Option<Amount>),
    /// The exact sum and the number of values under it; both are added. The
    /// value is sum by count.
    Average {
        /// Sum of the values.
        sum: Amount,
        /// Number of values.
        count: u64,
    },
    /// Distinct values that each occur in one partition only (they follow
    /// from the partition key): counts of partitions add up exactly.
    DistinctKeyed(u64),
    /// Distinct values that may occur in many partitions: a mergeable sketch.
    /// The union is taken, and of it the 1024 smallest. The value is the
    /// number of hashes while there are fewer than 1024, else
    /// `1023 * 2^64 / (largest + 1)`.
    DistinctSketch(Distinct),
    /// A quantile with a relative error of 1 %, as a DDSketch. Counts are
    /// added bucket by bucket.
    Quantile {
        /// Which one, in thousandths (950 is p95).
        #[schemars(range(max = 1000))]
        per_mille: u16,
        /// The values.
        sketch: QuantileSketch,
    },
}

/// What a measure comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// A count.
    Count(u64),
    /// An exact amount, as a string.
    Amount(Amount),
    /// An estimate.
    Number(f64),
    /// No value: an average, extreme or quantile of nothing.
    None,
}

impl Value {
    /// The nearest `f64`, for charts and conditions; `None` of nothing.
    pub fn to_f64(&self) -> Option<f64> {
        match self {
            Self::Count(n) => Some(*n as f64),
            Self::Amount(a) => Some(a.to_f64()),
            Self::Number(x) => Some(*x),
            Self::None => None,
        }
    }
}

/// States of different shapes were to be added: two definitions share a name
/// and a version, which a version that is a hash excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("totals of different definitions cannot be added")]
pub struct MergeError;

impl Measure {
    /// Adds the state of another, disjoint part of the log (another partition).
    pub fn add(&mut self, other: &Self) -> Result<(), MergeError> {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) | (Self::DistinctKeyed(a), Self::DistinctKeyed(b)) => {
                *a = a.saturating_add(*b);
            }
            (Self::Sum(a), Self::Sum(b)) => *a += *b,
            (Self::Min(a), Self::Min(b)) => *a = [*a, *b].into_iter().flatten().min(),
            (Self::Max(a), Self::Max(b)) => *a = [*a, *b].into_iter().flatten().max(),
            (Self::Average { sum, count }, Self::Average { sum: s, count: c }) => {
                *sum += *s;
                *count = count.saturating_add(*c);
            }
            (Self::DistinctSketch(a), Self::DistinctSketch(b)) => a.merge(b),
            (Self::Quantile { per_mille: p, sketch: a }, Self::Quantile { per_mille: q, sketch: b }) if p == q => {
                a.add(b);
            }
            _ => return Err(MergeError),
        }
        Ok(())
    }

    /// Takes a row's amount in. Measures that take no amounts stay as they are.
    pub fn add_amount(&mut self, amount: Amount) {
        match self {
            Self::Sum(sum) => *sum += amount,
            Self::Min(extreme) => *extreme = Some(extreme.map_or(amount, |known| known.min(amount))),
            Self::Max(extreme) => *extreme = Some(extreme.map_or(amount, |known| known.max(amount))),
            Self::Average { sum, count } => {
                *sum += amount;
                *count += 1;
            }
            Self::Quantile { sketch, .. } => {
                sketch.insert(amount.to_f64());
            }
            Self::Count(_) | Self::DistinctKeyed(_) | Self::DistinctSketch(_) => {}
        }
    }

    /// The state of no events, in this one's shape: adding it changes nothing.
    pub fn nothing(&self) -> Self {
        match self {
            Self::Count(_) => Self::Count(0),
            Self::Sum(_) => Self::Sum(Amount::ZERO),
            Self::Min(_) => Self::Min(None),
            Self::Max(_) => Self::Max(None),
            Self::Average { .. } => Self::Average { sum: Amount::ZERO, count: 0 },
            Self::DistinctKeyed(_) => Self::DistinctKeyed(0),
            Self::DistinctSketch(_) => Self::DistinctSketch(Distinct::default()),
            Self::Quantile { per_mille, .. } => {
                Self::Quantile { per_mille: *per_mille, sketch: QuantileSketch::default() }
            }
        }
    }

    /// What the state comes to.
    pub fn value(&self) -> Value {
        match self {
            Self::Count(n) | Self::DistinctKeyed(n) => Value::Count(*n),
            Self::Sum(sum) => Value::Amount(*sum),
            Self::Min(extreme) | Self::Max(extreme) => extreme.map_or(Value::None, Value::Amount),
            Self::Average { count: 0, .. } => Value::None,
            Self::Average { sum, count } => Value::Number(sum.to_f64() / *count as f64),
            Self::DistinctSketch(set) => Value::Count(set.estimate()),
            Self::Quantile { per_mille, sketch } => {
                sketch.quantile(f64::from(*per_mille) / 1000.0).map_or(Value::None, Value::Number)
            }
        }
    }

    /// Whether [`value`](Self::value) is exact.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::DistinctSketch(set) => set.is_exact(),
            Self::Quantile { .. } => false,
            _ => true,
        }
    }
}
