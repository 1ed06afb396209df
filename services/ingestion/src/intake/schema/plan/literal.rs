//! Values that a schema names, and numbers that it draws a line at.

use serde_json::{Number, Value};

use crate::intake::tree::{JsonKind, JsonRef};

/// Whole numbers up to here are the same as an `f64`.
const EXACT: i64 = 1 << 53;

/// A plan cannot tell.
#[derive(Debug)]
pub(super) struct Unsure;

/// A value of `enum` or `const`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
}

/// `minimum` and the like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Least(f64),
    Most(f64),
    Above(f64),
    Below(f64),
}

impl Literal {
    /// `None` for what is not compared here: numbers with a point, arrays, objects.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Integer(number.as_i64()?),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    pub(super) fn is(&self, value: JsonRef<'_>) -> Result<bool, Unsure> {
        Ok(match (self, value.kind()) {
            (Self::Null, JsonKind::Null) => true,
            (Self::Bool(literal), JsonKind::Bool(value)) => *literal == value,
            (Self::Integer(literal), JsonKind::Integer) => value.raw().parse() == Ok(*literal),
            // `1.0` is the same as `1`.
            (Self::Integer(_), JsonKind::Fraction) => return Err(Unsure),
            (Self::Text(literal), JsonKind::Text | JsonKind::EscapedText) => {
                value.text().is_some_and(|text| text == *literal)
            }
            _ => false,
        })
    }
}

impl Bound {
    pub(super) fn of(keyword: &str, limit: &Number) -> Option<Self> {
        let is_exact = |whole: i64| whole.abs() <= EXACT;
        let limit = if limit.is_f64() || limit.as_i64().is_some_and(is_exact) { limit.as_f64()? } else { return None };
        Some(match keyword {
            "minimum" => Self::Least(limit),
            "maximum" => Self::Most(limit),
            "exclusiveMinimum" => Self::Above(limit),
            "exclusiveMaximum" => Self::Below(limit),
            _ => return None,
        })
    }

    /// Whether a number is on the right side, as it is spelt.
    pub(super) fn holds(self, number: &str) -> Result<bool, Unsure> {
        let value: f64 = number.parse().map_err(|_| Unsure)?;
        if value.abs() > EXACT as f64 {
            return Err(Unsure);
        }
        Ok(match self {
            Self::Least(limit) => value >= limit,
            Self::Most(limit) => value <= limit,
            Self::Above(limit) => value > limit,
            Self::Below(limit) => value < limit,
        })
    }
}
