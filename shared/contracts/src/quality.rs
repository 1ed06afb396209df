//! How good an event or a customer is: weighted parts, as data.

mod contacts;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, path::Path};

use serde::Deserialize;
use tidemill_definitions::from_yaml;
use yaml_serde::Value;

pub use self::contacts::ToldContacts;
use self::contacts::{ContactMembers, WrittenContacts};
use crate::{
    check::CheckOutcome,
    error::ContractError,
    event::JudgedEvent,
    judge::joined,
    rule::{Rule, RuleSeverity},
    shipped::QUALITY,
    written::WrittenCheck,
};

/// Parts of a score at most.
const MOST_PARTS: usize = 32;

/// Some parts of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartSet(u32);

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// The weights of the parts that hold, of the weights of those that apply: 0 to 1.
    /// `None` where none applies.
    pub value: Option<f64>,
    /// The parts that do not hold.
    pub failed: PartSet,
}

/// The rules of quality.
#[derive(Debug, Clone)]
pub struct QualityRules {
    contacts: ContactMembers,
    /// The attribute of a customer's record that is the country.
    country: String,
    events: Vec<ScorePart<Rule>>,
    customers: Vec<ScorePart<CustomerPart>>,
}

/// A part, and how much it counts.
#[derive(Debug, Clone)]
struct ScorePart<P> {
    part: P,
    weight: u32,
}

/// What is asked of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CustomerPart {
    Email,
    Phone,
    Address,
    Country,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuality {
    contacts: WrittenContacts,
    events: Vec<WrittenPart>,
    customers: WrittenCustomerQuality,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPart {
    name: String,
    weight: u32,
    implementation: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCustomerQuality {
    country: String,
    parts: Vec<WrittenCustomerPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCustomerPart {
    name: CustomerPart,
    weight: u32,
}

impl QualityRules {
    /// Those of a file, or those that come with the lake.
    ///
    /// # Errors
    /// The file cannot be read, or is none; the error says where.
    pub fn load(file: Option<&Path>) -> Result<Self, ContractError> {
        let Some(path) = file else { return Self::parse(QUALITY.0, QUALITY.1) };
        let name = path.display().to_string();
        let text = tidemill_definitions::read_text(path);
        let text = text.map_err(|error| ContractError::at(&name, "", "", error.to_string()))?;
        Self::parse(&name, &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, ContractError> {
        let WrittenQuality { contacts, events, customers } = from_yaml(file, text)?;
        let wrong = |place: &str, reason: String| ContractError::at(file, text, place, reason);
        if events.len() > MOST_PARTS {
            return Err(wrong("events:", format!("a score has at most {MOST_PARTS} parts")));
        }
        let contacts = contacts.members().map_err(|reason| wrong("contacts:", reason))?;
        let part = |written: WrittenPart| {
            let WrittenPart { name, weight, implementation } = written;
            let failed = |reason: String| wrong(&format!("name: {name}"), format!("part `{name}`: {reason}"));
            if weight == 0 {
                return Err(failed("its weight is 0".into()));
            }
            let check = yaml_serde::from_value::<WrittenCheck>(implementation);
            let mut check = check.map_err(|error| failed(error.to_string()))?;
            let asked = check.check().map_err(failed)?;
            Ok(ScorePart { part: Rule::new(name, RuleSeverity::Warn, check.types, asked, None), weight })
        };
        let events = events.into_iter().map(part).collect::<Result<_, _>>()?;
        let WrittenCustomerQuality { country, parts } = customers;
        if parts.len() > MOST_PARTS || parts.iter().any(|part| part.weight == 0) {
            return Err(wrong(
                "customers:",
                format!("a score has at most {MOST_PARTS} parts, each with a weight above 0"),
            ));
        }
        let customers = parts.into_iter().map(|WrittenCustomerPart { name, weight }| ScorePart { part: name, weight });
        Ok(Self { contacts, country, events, customers: customers.collect() })
    }

    /// Whether a part looks into the data of events of this type.
    pub fn needs_data(&self, kind: &str) -> bool {
        self.events.iter().any(|ScorePart { part, .. }| part.check().needs_data() && part.is_about(kind))
    }

    /// How good an event is.
    pub fn of_event(&self, judged: &JudgedEvent<'_, '_>) -> Score {
        score(&self.events, |rule| rule.ask(judged))
    }

    /// How good a customer is, of whom this is told.
    pub fn of_customer(&self, told: &ToldContacts, has_country: bool) -> Score {
        let has = |part: &CustomerPart| match part {
            CustomerPart::Email => told.email.as_deref().is_some_and(crate::is_email),
            CustomerPart::Phone => told.phone.is_some(),
            CustomerPart::Address => told.has_address == Some(true),
            CustomerPart::Country => has_country,
        };
        score(&self.customers, |part| if has(part) { CheckOutcome::Holds } else { CheckOutcome::Fails })
    }

    /// The names of an event's parts, separated by commas; `None` of an empty set.
    pub fn event_parts(&self, set: PartSet) -> Option<Cow<'_, str>> {
        names(&self.events, set, Rule::name)
    }

    /// The same of a customer's.
    pub fn customer_parts(&self, set: PartSet) -> Option<Cow<'_, str>> {
        names(&self.customers, set, |part| part.as_str())
    }

    /// What an event tells of how its customer is reached. `country` is the customer's.
    pub fn contacts(&self, kind: &str, data: Option<&str>, country: Option<&str>) -> ToldContacts {
        data.map_or_else(ToldContacts::default, |data| self.contacts.of(kind, data, country))
    }

    /// The attribute of a customer's record that is the country.
    pub fn country_attribute(&self) -> &str {
        &self.country
    }
}

impl CustomerPart {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::Country => "country",
        }
    }
}

fn score<P>(parts: &[ScorePart<P>], ask: impl Fn(&P) -> CheckOutcome) -> Score {
    let (mut holding, mut applying, mut failed) = (0, 0, 0);
    for (place, ScorePart { part, weight }) in parts.iter().enumerate() {
        let outcome = ask(part);
        applying += if outcome == CheckOutcome::DoesNotApply { 0 } else { *weight };
        holding += if outcome == CheckOutcome::Holds { *weight } else { 0 };
        failed |= u32::from(outcome == CheckOutcome::Fails) << place;
    }
    let value = (applying > 0).then(|| f64::from(holding) / f64::from(applying));
    Score { value, failed: PartSet(failed) }
}

fn names<'p, P>(parts: &'p [ScorePart<P>], set: PartSet, name: impl Fn(&'p P) -> &'p str) -> Option<Cow<'p, str>> {
    let chosen = parts.iter().enumerate().filter(|(place, _)| set.0 & (1 << place) != 0);
    joined(chosen.map(|(_, part)| name(&part.part)))
}
