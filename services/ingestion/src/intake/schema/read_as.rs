//! Members that are taken in whatever they hold, and are read as something.

use serde_json::Value;
use tidemill_domain::{Amount, Currency};

/// Marks a property that is read as an amount, and refused for nothing.
const AMOUNT: &str = "x-amount";
/// From here on no amount is read.
const LIMIT: f64 = 1e15;

/// What a member is read as behind the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAs {
    /// An amount.
    Amount,
    /// The currency of the event's amounts.
    Currency,
}

impl ReadAs {
    /// What a property's schema says of it.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        (schema.get(AMOUNT) == Some(&Value::Bool(true))).then_some(Self::Amount)
    }

    /// Whether something is there of which nothing is made. A text without anything
    /// in it says nothing, as `null` does.
    pub(super) fn is_unreadable(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => false,
            (Self::Amount, Value::Number(number)) => number.as_f64().is_none_or(|value| value.abs() >= LIMIT),
            (Self::Amount, Value::String(text)) => !text.is_empty() && Amount::read(text).is_err(),
            (Self::Currency, Value::String(text)) => {
                let text = text.trim();
                !text.is_empty() && text.parse::<Currency>().is_err()
            }
            _ => true,
        }
    }

    /// What is made of such a value.
    pub(super) const fn outcome(self) -> &'static str {
        match self {
            Self::Amount => "cannot be read as an amount, such as 9.99; it, and the lines that need it, do not count",
            Self::Currency => "is no ISO 4217 code, such as EUR; the event's amounts count under no currency",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        for right in [json!(null), json!(""), json!(1), json!(-2.5), json!("9.99"), json!(" 9.99 "), json!("1e3")] {
            assert!(!ReadAs::Amount.is_unreadable(&right), "{right}");
        }
        for wrong in [json!("10%"), json!("free"), json!("8.1 %"), json!("1e15"), json!(1e15), json!(true), json!([])] {
            assert!(ReadAs::Amount.is_unreadable(&wrong), "{wrong}");
        }
        for right in [json!(null), json!(""), json!(" "), json!("EUR"), json!("eur"), json!(" usd ")] {
            assert!(!ReadAs::Currency.is_unreadable(&right), "{right}");
        }
        for wrong in [json!("\u{20ac}"), json!("XXXX"), json!("EU"), json!("978"), json!(978), json!({"code": "EUR"})] {
            assert!(ReadAs::Currency.is_unreadable(&wrong), "{wrong}");
        }
    }
}
