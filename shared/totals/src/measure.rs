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

/// A measure's state, and what it could not take as it was. Both counts are
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureTotal {
    /// The state.
    #[serde(flatten)]
    pub measure: Measure,
    /// Rows that the measure should have and has not: their value is not there,
    /// is no number, or is beyond what a total takes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// Values that were rounded to the twelve decimals of an amount.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rounded: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<Measure> for MeasureTotal {
    /// A state that took everything as it was.
    fn from(measure: Measure) -> Self {
        Self { measure, unread: 0, rounded: 0 }
    }
}

impl MeasureTotal {
    /// Adds the state of another, disjoint part of the log.
    pub fn add(&mut self, other: &Self) -> Result<(), MergeError> {
        self.measure.add(&other.measure)?;
        self.unread = self.unread.saturating_add(other.unread);
        self.rounded = self.rounded.saturating_add(other.rounded);
        Ok(())
    }

    /// The state of no events, in this one's shape.
    pub fn nothing(&self) -> Self {
        self.measure.nothing().into()
    }

    /// What the state comes to.
    pub fn value(&self) -> Value {
        self.measure.value()
    }
}

/// The states of a metric's measures, in the order of its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Totals(pub Vec<MeasureTotal>);

impl Totals {
    /// States that took everything as it was.
    pub fn of(measures: impl IntoIterator<Item = Measure>) -> Self {
        Self(measures.into_iter().map(MeasureTotal::from).collect())
    }

    /// Adds the totals of another, disjoint part of the log.
    pub fn add(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.0.len() != other.0.len() {
            return Err(MergeError);
        }
        self.0.iter_mut().zip(&other.0).try_for_each(|(a, b)| a.add(b))
    }

    /// The totals of no events, in this one's shape.
    pub fn nothing(&self) -> Self {
        Self(self.0.iter().map(MeasureTotal::nothing).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_read_whatever_the_order_of_its_members() {
        let mut sketch = QuantileSketch::default();
        sketch.insert(3.5);
        let mut total = MeasureTotal::from(Measure::Quantile { per_mille: 950, sketch });
        total.unread = 2;
        let text = serde_json::to_string(&total).expect("a total is JSON");
        assert_eq!(serde_json::from_str::<MeasureTotal>(&text).expect("and is read back"), total);
        let mut turned: Vec<(String, serde_json::Value)> =
            serde_json::from_str::<serde_json::Map<_, _>>(&text).expect("an object").into_iter().collect();
        turned.reverse();
        let turned = serde_json::Value::Object(turned.into_iter().collect()).to_string();
        assert_ne!(turned, text);
        assert_eq!(serde_json::from_str::<MeasureTotal>(&turned).expect("and is read back"), total);
    }

    #[test]
    fn a_total_without_gaps_is_written_as_it_always_was() {
        let text = r#"[{"kind":"sum","state":"25.80"},{"kind":"count","state":3}]"#;
        let totals: Totals = serde_json::from_str(text).expect("totals");
        assert_eq!(totals, Totals::of([Measure::Sum("25.80".parse().expect("an amount")), Measure::Count(3)]));
        assert_eq!(serde_json::to_string(&totals).expect("are JSON"), text);
    }

    #[test]
    fn gaps_of_partitions_add_up() {
        let gap = |unread, rounded| Totals(vec![MeasureTotal { measure: Measure::Count(1), unread, rounded }]);
        let mut sum = gap(1, 0);
        sum.add(&gap(2, 3)).expect("of one shape");
        assert_eq!(sum, Totals(vec![MeasureTotal { measure: Measure::Count(2), unread: 3, rounded: 3 }]));
        assert_eq!(sum.nothing(), Totals::of([Measure::Count(0)]));
    }
}
