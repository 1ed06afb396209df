//! A check as it is written, in contracts and in the rules of quality.

use serde::{Deserialize, Deserializer, de};
use tidemill_definitions::{Condition, Field};
use tidemill_domain::{Amount, EventType};
use tidemill_events::QualityFlag;
use yaml_serde::Value;

use crate::check::{PlausibleTime, RuleCheck};

/// Types that a rule names at most.
const MOST_TYPES: usize = 32;

/// What stands in `implementation`. What a check does not take is refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenCheck {
    #[serde(default)]
    pub(crate) types: Vec<String>,
    #[serde(default)]
    pub(crate) pointer: Option<String>,
    check: Option<CheckName>,
    field: Option<Field>,
    values: Option<Vec<String>>,
    #[serde(default, deserialize_with = "number")]
    least: Option<Amount>,
    #[serde(default, deserialize_with = "number")]
    most: Option<Amount>,
    flag: Option<QualityFlag>,
    past_days: Option<u32>,
    ahead_seconds: Option<u32>,
    condition: Option<Condition>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CheckName {
    Readable,
    Present,
    Email,
    OneOf,
    Range,
    KnownProduct,
    KnownCountry,
    KnownCustomer,
    KnownCurrency,
    WithoutFlag,
    PlausibleTime,
}

/// A number, or the text of one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(de::Error::custom("`least` and `most` are numbers")),
    };
    text.parse().map(Some).map_err(|_| de::Error::custom(format!("`{text}` is no number")))
}

impl WrittenCheck {
    /// The check; the error says what is missing, or there without a meaning.
    pub(crate) fn check(&mut self) -> Result<RuleCheck, String> {
        if self.types.len() > MOST_TYPES {
            return Err(format!("a rule names at most {MOST_TYPES} types"));
        }
        for kind in &self.types {
            kind.parse::<EventType>().map_err(|reason| format!("an event type {reason}"))?;
        }
        let check = self.named()?;
        match self.left() {
            Some(option) => Err(format!("`{option}` means nothing here")),
            None => Ok(check),
        }
    }

    fn named(&mut self) -> Result<RuleCheck, String> {
        let Some(name) = self.check else {
            let condition = self.condition.take().ok_or("a `check` or a `condition` is missing")?;
            condition.check_of_event()?;
            return Ok(RuleCheck::Condition(condition));
        };
        Ok(match name {
            CheckName::Readable => RuleCheck::Readable,
            CheckName::Present => RuleCheck::Present(self.field()?),
            CheckName::Email => RuleCheck::Email(self.field()?),
            CheckName::OneOf => RuleCheck::OneOf(self.field()?, self.values.take().ok_or("`one_of` needs `values`")?),
            CheckName::Range => {
                let (least, most) = (self.least.take(), self.most.take());
                if least.is_none() && most.is_none() {
                    return Err("`range` needs `least` or `most`".into());
                }
                if let (Some(least), Some(most)) = (least, most)
                    && least > most
                {
                    return Err(format!("`least` is {least}, above `most`, which is {most}: no number is between"));
                }
                RuleCheck::Range(self.field()?, least, most)
            }
            CheckName::KnownProduct => RuleCheck::KnownProduct,
            CheckName::KnownCountry => RuleCheck::KnownCountry,
            CheckName::KnownCustomer => RuleCheck::KnownCustomer,
            CheckName::KnownCurrency => RuleCheck::KnownCurrency,
            CheckName::WithoutFlag => RuleCheck::Without(self.flag.take().ok_or("`without_flag` needs `flag`")?),
            CheckName::PlausibleTime => RuleCheck::PlausibleTime(PlausibleTime {
                past_days: self.past_days.take().ok_or("`plausible_time` needs `past_days`")?,
                ahead_seconds: self.ahead_seconds.take().ok_or("`plausible_time` needs `ahead_seconds`")?,
            }),
        })
    }

    fn field(&mut self) -> Result<Field, String> {
        match self.field.take() {
            // An event may have many of these.
            Some(Field::Item(_) | Field::Lines | Field::Line(_) | Field::Category | Field::Product(_)) => {
                Err("`field` is of an item; ask by a `condition` over `data`".into())
            }
            Some(field) => Ok(field),
            None => Err("`field` is missing".into()),
        }
    }

    /// An option that no check has taken.
    fn left(&self) -> Option<&'static str> {
        let left = [
            ("field", self.field.is_some()),
            ("values", self.values.is_some()),
            ("least", self.least.is_some()),
            ("most", self.most.is_some()),
            ("flag", self.flag.is_some()),
            ("past_days", self.past_days.is_some()),
            ("ahead_seconds", self.ahead_seconds.is_some()),
            ("condition", self.condition.is_some()),
        ];
        left.into_iter().find(|(_, is_left)| *is_left).map(|(name, _)| name)
    }
}
