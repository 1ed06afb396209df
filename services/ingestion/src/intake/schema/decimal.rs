//! A keyword of our schemas.

use jsonschema::{Keyword, ValidationError};
use serde_json::{Value, value::RawValue};
use tidemill_domain::Amount;

const NO_NUMBER: &str = "is not a decimal number";

/// The keyword `decimal`: a number, or a text that spells one, that Tidemill
/// can hold (below 10^15; [`Amount::read`] says how it is rounded); `{"minimum": "0"}`
/// and `{"exclusiveMinimum": "0"}` bound it.
#[derive(Debug)]
pub(super) struct Decimal {
    minimum: Option<Amount>,
    exclusive_minimum: Option<Amount>,
}

impl Decimal {
    pub(super) fn new(bounds: &Value) -> Option<Self> {
        let mut decimal = Self { minimum: None, exclusive_minimum: None };
        for (name, bound) in bounds.as_object()? {
            let bound = Some(bound.as_str()?.parse().ok()?);
            match name.as_str() {
                "minimum" => decimal.minimum = bound,
                "exclusiveMinimum" => decimal.exclusive_minimum = bound,
                _ => return None,
            }
        }
        Some(decimal)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Number(number) => self.check_number(&number.to_string()),
            Value::String(text) => self.check_text(text),
            _ => Err(NO_NUMBER.into()),
        }
    }

    /// Whether a text spells such a number.
    pub(super) fn check_text(&self, text: &str) -> Result<(), String> {
        // JSON's spelling of numbers, so that every stage reads the same.
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if raw.get() == text => self.check_number(text),
            _ => Err(NO_NUMBER.into()),
        }
    }

    /// Whether a number, as it is spelt, is such a one.
    pub(super) fn check_number(&self, number: &str) -> Result<(), String> {
        let amount: Amount = number.parse().map_err(|e| format!("is {e}"))?;
        match (self.minimum, self.exclusive_minimum) {
            (Some(minimum), _) if amount < minimum => Err(format!("is less than {minimum}")),
            (_, Some(minimum)) if amount <= minimum => Err(format!("is not more than {minimum}")),
            _ => Ok(()),
        }
    }
}

impl<'i> Keyword<'i> for Decimal {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.check(value).map_err(ValidationError::custom)
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.check(value).is_ok()
    }
}
