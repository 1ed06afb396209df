//! Totals without what those of one metric have in common.
//!
//! [`TotalsShape`] names the kind of each measure once. A total then is its
//! state alone: a number, an amount, an array. One that has more to say is an
//! object with the state in it. A state of another kind than the shape's names
//! its kind, so any totals can be written in any shape.

mod read;
#[cfg(test)]
mod tests;
mod write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Measure, MeasureTotal, Totals};

/// The kind of a measure's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// A number.
    Count,
    /// An amount.
    Sum,
    /// An amount, or null.
    Min,
    /// An amount, or null.
    Max,
    /// The sum, an amount, and the number of values.
    Average,
    /// A number.
    DistinctKeyed,
    /// The hashes.
    DistinctSketch,
    /// An array with the sketch; which quantile it is, in thousandths, is part
    /// of the kind.
    Quantile(u16),
}

impl StateKind {
    fn of(measure: &Measure) -> Self {
        match measure {
            Measure::Count(_) => Self::Count,
            Measure::Sum(_) => Self::Sum,
            Measure::Min(_) => Self::Min,
            Measure::Max(_) => Self::Max,
            Measure::Average { .. } => Self::Average,
            Measure::DistinctKeyed(_) => Self::DistinctKeyed,
            Measure::DistinctSketch(_) => Self::DistinctSketch,
            Measure::Quantile { per_mille, .. } => Self::Quantile(*per_mille),
        }
    }
}

/// The kinds of a metric's states, in the order of its measures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct TotalsShape(Vec<StateKind>);

impl TotalsShape {
    /// That of these totals.
    pub fn of(totals: &Totals) -> Self {
        Self(totals.0.iter().map(|total| StateKind::of(&total.measure)).collect())
    }
}

/// Bytes that a state takes at most: it was converted, or has gaps.
const MORE: usize = 160;

impl Totals {
    /// Bytes that they take at most in their own shape.
    pub fn weight(&self) -> usize {
        let of = |total: &MeasureTotal| {
            let in_base = total.converted.as_ref().and_then(|converted| converted.state.as_ref());
            let is_short = total.converted.is_none() && (total.unread, total.rounded, total.unconverted) == (0, 0, 0);
            of_state(&total.measure) + in_base.map_or(0, of_state) + if is_short { 0 } else { MORE }
        };
        self.0.iter().map(of).sum()
    }
}

/// With what tells of its kind, where that is not the shape's.
fn of_state(measure: &Measure) -> usize {
    const NAMED: usize = 42;
    const AMOUNT: usize = 44;
    const NUMBER: usize = 21;
    NAMED
        + match measure {
            Measure::Count(_) | Measure::DistinctKeyed(_) => NUMBER,
            Measure::Sum(_) | Measure::Min(_) | Measure::Max(_) => AMOUNT,
            Measure::Average { .. } => AMOUNT + NUMBER + 22,
            Measure::DistinctSketch(set) => 2 + NUMBER * set.hashes().len(),
            Measure::Quantile { sketch, .. } => 4 * NUMBER + (NUMBER + 14) * sketch.bucket_count(),
        }
}
