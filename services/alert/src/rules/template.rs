//! Texts of alerts.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemill_domain::Currency;
use tidemill_totals::Value;

use super::scalar::scalar;

/// A text with `{names}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("a `{` without its `}`")?;
            parts.extend([Part::Text(before.into()), Part::Name(name.trim().into())]);
            rest = behind;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Self { text: text.into(), parts })
    }

    /// The names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Name(name) => Some(name.as_str()),
        })
    }

    pub(super) fn render(&self, facts: &BTreeMap<&str, String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => facts.get(name.as_str()).cloned().unwrap_or_else(|| "none".into()),
        };
        self.parts.iter().map(part).collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer, Self::parse)
    }
}

/// A figure of money as people read it: rounded, since it may be of converted amounts.
pub(super) fn in_currency(value: &Value, currency: Currency) -> String {
    match value {
        Value::Amount(amount) => currency.show_rounded(*amount),
        Value::Number(x) => format!("{x:.*} {currency}", currency.decimals()),
        Value::Count(_) | Value::None => figure(value),
    }
}

/// A figure as people read it.
pub(crate) fn figure(value: &Value) -> String {
    match value {
        Value::Count(n) => n.to_string(),
        Value::Amount(amount) => amount.to_string(),
        Value::Number(x) => format!("{x:.2}"),
        Value::None => "none".into(),
    }
}
