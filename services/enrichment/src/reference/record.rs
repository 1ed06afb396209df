//! Records as files and clients write them, read at the edge.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use tidemill_domain::{Amount, Currency, ReadAmount, Timestamp};

use super::RecordKind;
use crate::{error::Error, geo::Country};

/// The attribute of a rate: units of the base currency for one of the currency.
pub(super) const RATE: &str = "rate";
const MAX_ID_BYTES: usize = 200;
const MAX_ATTRIBUTES: usize = 32;
const MAX_NAME_BYTES: usize = 64;
pub(super) const MAX_VALUE_BYTES: usize = 256;
/// All names and values of a record: they travel with every event of it.
const MAX_TOTAL_BYTES: usize = 4096;

/// What is to be known of something from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) id: String,
    /// From when; by default a few seconds ahead, or always for a new id.
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) attributes: RecordAttributes,
}

/// A record as written: `id`, `valid_from` and attributes side by side.
pub(crate) type RecordFields = BTreeMap<String, Value>;

impl Record {
    /// Reads a record; `id` is for one whose address names it.
    pub(crate) fn read(kind: RecordKind, id: Option<String>, fields: RecordFields) -> Result<Self, Error> {
        let mut record =
            Self { kind, id: id.unwrap_or_default(), valid_from: None, attributes: RecordAttributes::new() };
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Array(_) | Value::Object(_) => return Err(wrong(&name, "must be a single value".into())),
            };
            match name.as_str() {
                "id" if record.id.is_empty() || record.id == text => record.id = text,
                "id" => return Err(wrong(&name, "is not the id in the address".into())),
                "valid_from" => {
                    record.valid_from = Some(text.parse().map_err(|e| wrong(&name, format!("{text:?} is {e}")))?);
                }
                _ => {
                    check(&name, MAX_NAME_BYTES).map_err(|detail| wrong(&name, format!("the name {detail}")))?;
                    if text.len() > MAX_VALUE_BYTES {
                        return Err(wrong(&name, format!("is longer than {MAX_VALUE_BYTES} bytes")));
                    }
                    record.attributes.insert(name, text);
                }
            }
        }
        check(&record.id, MAX_ID_BYTES).map_err(|detail| wrong("id", detail))?;
        if !fits(&record.attributes) {
            let detail = format!("more than {MAX_ATTRIBUTES} attributes or {MAX_TOTAL_BYTES} bytes");
            return Err(Error::Record { pointer: String::new(), detail });
        }
        match kind {
            RecordKind::Product | RecordKind::Customer => {}
            RecordKind::Country => record.check_country()?,
            RecordKind::Rate => record.check_rate()?,
        }
        Ok(record)
    }

    /// A rate of the base currency would do nothing: its amounts are not converted.
    pub(crate) fn of_another_currency_than(self, base: Currency) -> Result<Self, Error> {
        if self.kind == RecordKind::Rate && self.id == base.as_str() {
            let detail = format!(
                "is {base}, the shop's base currency, which has no rate: amounts in it count as they are, and the rates \
                 of the others say what one of them is in {base}"
            );
            return Err(wrong("id", detail));
        }
        Ok(self)
    }

    fn check_country(&mut self) -> Result<(), Error> {
        let code = Country::from_code(&self.id);
        self.id = code.ok_or_else(|| wrong("id", "must be an ISO 3166-1 alpha-2 code".into()))?.as_str().into();
        if self.attributes.get("region").is_none_or(String::is_empty) {
            return Err(wrong("region", "is required of a country".into()));
        }
        Ok(())
    }

    fn check_rate(&self) -> Result<(), Error> {
        if self.id.parse::<Currency>().ok().is_none_or(|code| code.as_str() != self.id) {
            return Err(wrong("id", "must be the code of a currency in upper case, such as USD (ISO 4217)".into()));
        }
        let Some(rate) = self.attributes.get(RATE) else {
            return Err(wrong(RATE, "is required: units of the base currency for one of this currency".into()));
        };
        match Amount::read(rate) {
            Ok(ReadAmount { amount, .. }) if amount > Amount::ZERO => Ok(()),
            _ => Err(wrong(RATE, format!("{rate:?} must be a decimal above 0, such as \"0.92\""))),
        }
    }
}

/// Whether a record may have these attributes, all together.
pub(super) fn fits(attributes: &RecordAttributes) -> bool {
    let size: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    attributes.len() <= MAX_ATTRIBUTES && size <= MAX_TOTAL_BYTES
}

/// Whether a record may have this id.
pub(super) fn is_id(text: &str) -> bool {
    check(text, MAX_ID_BYTES).is_ok()
}

fn wrong(name: &str, detail: String) -> Error {
    Error::Record { pointer: pointer(name), detail }
}

fn check(text: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".into())
    } else if text.len() > limit {
        Err(format!("must not be longer than {limit} bytes"))
    } else if text.chars().any(char::is_control) {
        Err("must not hold control characters".into())
    } else {
        Ok(())
    }
}

pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What is known of one thing, by name.
pub(crate) type RecordAttributes = BTreeMap<String, String>;
