//! Exact amounts in an event's data.

use serde_json::value::RawValue;
use tidemill_definitions::{Data, Field};
use tidemill_domain::Amount;

use crate::rules::amounts::{AmountDefinition, AmountSum};

/// What an event has of an amount: nothing where no definition fits.
pub(super) fn amount_of(definition: &AmountDefinition, data: &Data<'_>) -> Amount {
    definition.ways().iter().find_map(|way| sum(way, data)).unwrap_or_default()
}

/// The member at the end of a path.
pub(super) fn member<'a>(data: &Data<'a>, path: &[String]) -> Option<&'a RawValue> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(data.get(first)?, |value, name| Data::of(Some(value)).get(name))
}

/// Items without one of the members add nothing.
fn sum(way: &AmountSum, data: &Data<'_>) -> Option<Amount> {
    let Some(list) = &way.each else { return product(way, data, None) };
    let items: Vec<&RawValue> = serde_json::from_str(field(list, data, None)?.get()).ok()?;
    Some(items.into_iter().filter_map(|item| product(way, data, Some(&Data::of(Some(item))))).sum())
}

fn product(way: &AmountSum, data: &Data<'_>, item: Option<&Data<'_>>) -> Option<Amount> {
    let texts: Option<Vec<&str>> =
        way.sum.iter().map(|name| Some(field(name, data, item)?.get().trim_matches('"'))).collect();
    Some(Amount::product(texts?).ok()?.amount)
}

fn field<'a>(field: &Field, data: &Data<'a>, item: Option<&Data<'a>>) -> Option<&'a RawValue> {
    match field {
        Field::Data(path) => member(data, path),
        Field::Item(path) => member(item?, path),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
