//! A measure's total: its state, what it could not take as it was, and of money
//! what it is in the base currency.

mod read;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::{BaseAmount, Currency, ReadAmount};

use crate::{Converted, InBase, Measure, MergeError, Value};

/// A measure's state, and what it could not take as it was. All counts are
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MeasureTotal {
    /// The state.
    #[serde(flatten)]
    pub measure: Measure,
    /// Rows that the measure should have and has not: their value is not there,
    /// is no number, or is beyond what a total takes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// Values that were rounded to the twelve decimals of an amount, as they are
    /// or where they were converted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rounded: u64,
    /// Of a measure of money: its rows in the base currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Converted")]
    pub converted: Option<Converted>,
    /// Of a measure of money: rows of which nobody knows what they are in the
    /// base currency.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unconverted: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<Measure> for MeasureTotal {
    /// A state that took everything as it was.
    fn from(measure: Measure) -> Self {
        Self { measure, unread: 0, rounded: 0, converted: None, unconverted: 0 }
    }
}

impl MeasureTotal {
    /// Adds the state of another, disjoint part of the log.
    pub fn add(&mut self, other: &Self) -> Result<(), MergeError> {
        let (converted, unconverted) = self.converted_with(other)?;
        self.measure.add(&other.measure)?;
        self.converted = converted;
        self.unconverted = unconverted;
        self.unread = self.unread.saturating_add(other.unread);
        self.rounded = self.rounded.saturating_add(other.rounded);
        Ok(())
    }

    /// Adds a row of money: its amount, and what that is in the base currency,
    /// where that is known.
    pub fn add_money(&mut self, amount: ReadAmount, base: Option<BaseAmount>) {
        let mut row = self.nothing();
        row.measure.add_amount(amount.amount);
        let is_rounded = amount.rounded || base.and_then(|base| base.converted).is_some_and(|read| read.rounded);
        row.rounded = is_rounded.into();
        row.unconverted = base.is_none().into();
        row.converted = base.map(|BaseAmount { base, converted }| Converted {
            base,
            rows: 1,
            state: converted.map(|read| {
                let mut state = self.measure.nothing();
                state.add_amount(read.amount);
                state
            }),
        });
        // It is made in this one's shape, so it can be added.
        self.add(&row).unwrap_or_default();
    }

    /// The sum of both sides' rows in the base currency, and how many have none.
    ///
    /// The base currency may have been changed in between. Two of them are never
    /// added either: the rows of one have no value in the other. The code decides
    /// which one stays, so that the order of adding does not.
    fn converted_with(&self, other: &Self) -> Result<(Option<Converted>, u64), MergeError> {
        let unconverted = self.unconverted.saturating_add(other.unconverted);
        let (mine, theirs) = match (&self.converted, &other.converted) {
            (None, None) => return Ok((None, unconverted)),
            // Without rows on the other side, nothing has to be told apart.
            (Some(one), None) if other.unconverted == 0 => return Ok((Some(one.clone()), unconverted)),
            (None, Some(one)) if self.unconverted == 0 => return Ok((Some(one.clone()), unconverted)),
            (Some(one), None) => return Ok((Some(one.apart(&self.measure)), unconverted)),
            (None, Some(one)) => return Ok((Some(one.apart(&other.measure)), unconverted)),
            (Some(mine), Some(theirs)) => (mine, theirs),
        };
        if mine.base != theirs.base {
            let (kept, of, left) = if mine.base < theirs.base { (mine, self, theirs) } else { (theirs, other, mine) };
            return Ok((Some(kept.apart(&of.measure)), unconverted.saturating_add(left.rows)));
        }
        let rows = mine.rows.saturating_add(theirs.rows);
        let state = match (&mine.state, &theirs.state) {
            (None, None) => None,
            _ => {
                let mut sum = mine.state(&self.measure).clone();
                sum.add(theirs.state(&other.measure))?;
                Some(sum)
            }
        };
        Ok((Some(Converted { base: mine.base, rows, state }), unconverted))
    }

    /// The state of no events, in this one's shape.
    pub fn nothing(&self) -> Self {
        self.measure.nothing().into()
    }

    /// What the state comes to.
    pub fn value(&self) -> Value {
        self.measure.value()
    }

    /// What a total of money is in a base currency; of no rows it is the value
    /// of no rows.
    pub fn in_base(&self, base: Option<Currency>) -> InBase {
        match &self.converted {
            Some(known) if Some(known.base) == base => {
                InBase { value: known.state(&self.measure).value(), unconverted: self.unconverted }
            }
            Some(other) => InBase { value: Value::None, unconverted: self.unconverted.saturating_add(other.rows) },
            None if self.unconverted > 0 => InBase { value: Value::None, unconverted: self.unconverted },
            None => InBase { value: self.measure.nothing().value(), unconverted: 0 },
        }
    }

    /// The base currency of a total of money, where it has one.
    pub fn base(&self) -> Option<Currency> {
        self.converted.as_ref().map(|converted| converted.base)
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
