//! Exact amounts in an event's data.

use serde_json::value::RawValue;
use tidemill_definitions::{Data, Field};
use tidemill_domain::{Amount, Currency};
use tidemill_events::{Conversion, Enrichment, QualityFlag};
use tidemill_totals::Value;

use crate::rules::amounts::{AmountDefinition, AmountSum};

/// An amount of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventAmount {
    /// No money, or money of which nobody says what it is.
    Plain(Amount),
    /// In the base currency.
    Base(Amount, Currency),
    /// In another currency, and in the base currency.
    Converted { own: (Amount, Currency), base: (Amount, Currency) },
    /// In another currency, to which no rate is known, or in none that is known.
    Unknown(Amount, Option<Currency>),
}

impl EventAmount {
    /// What an event has of an amount: nothing where no definition fits.
    pub(super) fn of(definition: &AmountDefinition, data: &Data<'_>, enriched: &Enrichment) -> Self {
        let way = definition.ways().iter().find_map(|way| Some((way, sum(way, data)?)));
        let (is_money, own) = way.map_or_else(Default::default, |(way, own)| (way.money.is_some(), own));
        let is_unclear = enriched.quality.contains(&QualityFlag::CurrencyUnknown);
        match (enriched.currency, enriched.conversion()) {
            _ if !is_money => Self::Plain(own),
            // A release before currencies has enriched it.
            (None, _) if !is_unclear => Self::Plain(own),
            (Some(currency), Some(Conversion { rate: None, .. })) => Self::Base(own, currency),
            (Some(currency), Some(Conversion { base, rate: Some(rate) })) => {
                match Amount::product([own.to_string().as_str(), rate]) {
                    Ok(read) => Self::Converted { own: (own, currency), base: (read.amount, base) },
                    Err(_) => Self::Unknown(own, Some(currency)),
                }
            }
            (currency, _) => Self::Unknown(own, currency),
        }
    }

    /// What conditions compare: 0 where nobody knows what it is in the base currency.
    pub(super) fn compared(&self) -> Amount {
        match self {
            Self::Plain(amount) | Self::Base(amount, _) | Self::Converted { base: (amount, _), .. } => *amount,
            Self::Unknown(..) => Amount::ZERO,
        }
    }

    /// What an alert tells.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Unknown(..) => Value::None,
            known => Value::Amount(known.compared()),
        }
    }

    /// As people read it: as the event has it, with its currency.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Plain(amount) => amount.to_string(),
            Self::Base(amount, currency) => currency.show(*amount),
            Self::Converted { own, base } => format!("{} ({})", own.1.show(own.0), base.1.show_rounded(base.0)),
            Self::Unknown(amount, Some(currency)) => format!("{} (no rate known)", currency.show(*amount)),
            Self::Unknown(amount, None) => format!("{amount} of an unknown currency"),
        }
    }
}

/// The member at the end of a path.
pub(super) fn member<'a>(data: &Data<'a>, path: &[String]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(data.get(first)?, |value, name| Data::of_member(Some(value)).get(name))
}

/// Items without one of the members add nothing.
fn sum(way: &AmountSum, data: &Data<'_>) -> Option<Amount> {
    let Some(list) = &way.each else { return product(way, data, None) };
    let items: Vec<&RawValue> = serde_json::from_str(field(list, data, None)?).ok()?;
    Some(items.into_iter().filter_map(|item| product(way, data, Some(&Data::of(Some(item))))).sum())
}

fn product(way: &AmountSum, data: &Data<'_>, item: Option<&Data<'_>>) -> Option<Amount> {
    let texts: Option<Vec<&str>> =
        way.sum.iter().map(|name| Some(field(name, data, item)?.trim_matches('"'))).collect();
    Some(Amount::product(texts?).ok()?.amount)
}

fn field<'a>(field: &Field, data: &Data<'a>, item: Option<&Data<'a>>) -> Option<&'a str> {
    match field {
        Field::Data(path) => member(data, path),
        Field::Item(path) => member(item?, path),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
