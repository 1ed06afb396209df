//! The definition's file.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use tidemill_definitions::{DefinitionError, Field, from_yaml};
use tidemill_domain::EventType;

use super::{
    customers::{CustomerMembers, WrittenCustomers},
    fields::{check, check_name, member_paths},
    members::{EventMembers, MemberPath},
    orders::OrderMembers,
    written_orders::WrittenOrders,
};
use crate::error::Error;

/// The definition that ships with the service.
pub const BUILT_IN: &str = include_str!("../../definitions/shop.yaml");
/// Bytes of a definition; the built-in one has some 1,500.
const MAX_BYTES: usize = 64 << 10;
/// Event types with a business key at most.
const MAX_KEYED_TYPES: usize = 64;

/// What a shop calls things.
#[derive(Debug)]
pub(crate) struct ShopDefinition {
    pub(crate) events: EventMembers,
    pub(crate) orders: OrderMembers,
    pub(crate) records: RecordNames,
    /// What events say of customers.
    pub(crate) customers: CustomerMembers,
}

/// Attributes of reference records that mean something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordNames {
    /// Of a product: what its sales are counted under.
    pub(crate) category: String,
    /// Of a customer: the country.
    pub(crate) country: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    events: WrittenMembers,
    /// A definition of before orders were followed has none: then the built-in one's
    /// hold.
    orders: Option<WrittenOrders>,
    /// Without it no event changes what is known of a customer.
    customer_changes: Option<WrittenCustomers>,
    records: RecordNames,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMembers {
    items: Vec<Field>,
    products: Vec<Field>,
    customers: Vec<Field>,
    countries: Vec<Field>,
    #[serde(default = "default_currencies")]
    currencies: Vec<Field>,
    #[serde(default)]
    business_keys: BTreeMap<String, Vec<Field>>,
}

/// Of a definition that is older than the key.
fn default_currencies() -> Vec<Field> {
    vec![Field::Data(vec!["currency".into()])]
}

impl ShopDefinition {
    /// Reads a file, or the built-in definition.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Error> {
        let Some(file) = file else { return Ok(Self::parse("shop.yaml", BUILT_IN)?) };
        let name = file.display().to_string();
        let yaml = tidemill_definitions::read_text(file).map_err(|e| Error::definition(&name, e.to_string()))?;
        Ok(Self::parse(&name, &yaml)?)
    }

    fn parse(file: &str, yaml: &str) -> Result<Self, DefinitionError> {
        if yaml.len() > MAX_BYTES {
            return Err(DefinitionError::new(file, None, format!("is longer than {MAX_BYTES} bytes")));
        }
        let Written { events, orders, customer_changes, records } = from_yaml(file, yaml)?;
        let wrong = |key: &str, reason: String| DefinitionError::at(file, yaml, &format!("{key}:"), reason);
        for (key, fields) in [
            ("items", &events.items),
            ("products", &events.products),
            ("customers", &events.customers),
            ("countries", &events.countries),
            ("currencies", &events.currencies),
        ] {
            check(fields).map_err(|reason| wrong(key, reason))?;
        }
        for (key, name) in [("category", &records.category), ("country", &records.country)] {
            check_name(name).map_err(|reason| wrong(key, reason))?;
        }
        let paths = |key, fields, roots| member_paths(fields, roots).map_err(|reason| wrong(key, reason));
        let (items, products) =
            (paths("items", &events.items, &["data"])?, paths("products", &events.products, &["item", "data"])?);
        let orders = match orders {
            Some(orders) => orders,
            None => from_yaml::<Written>("shop.yaml", BUILT_IN)?.orders.unwrap_or_default(),
        };
        let orders = orders.members(&items, &products).map_err(|(key, reason)| wrong(key, reason))?;
        let customers = customer_changes.map(|written| written.members(&records.country)).transpose();
        let customers = customers.map_err(|(key, reason)| wrong(&key, reason))?.unwrap_or_default();
        let keys = business_keys(&events.business_keys).map_err(|(key, reason)| wrong(key, reason))?;
        let events = EventMembers::new(
            items,
            products,
            paths("customers", &events.customers, &["subject", "data"])?,
            paths("countries", &events.countries, &["data"])?,
            paths("currencies", &events.currencies, &["data"])?,
        );
        Ok(Self { events: events.with_business_keys(keys), orders, records, customers })
    }
}

/// The members of each type's key; an error is with the key of the file that is
/// wrong.
fn business_keys(written: &BTreeMap<String, Vec<Field>>) -> Result<BTreeMap<String, Vec<MemberPath>>, (&str, String)> {
    if written.len() > MAX_KEYED_TYPES {
        return Err(("business_keys", format!("names more than {MAX_KEYED_TYPES} event types")));
    }
    let mut keys = BTreeMap::new();
    for (kind, fields) in written {
        let paths = business_key(kind, fields).map_err(|reason| (kind.as_str(), reason))?;
        keys.insert(kind.clone(), paths);
    }
    Ok(keys)
}

fn business_key(kind: &str, fields: &[Field]) -> Result<Vec<MemberPath>, String> {
    kind.parse::<EventType>().map_err(|reason| format!("an event type {reason}"))?;
    if fields.is_empty() {
        return Err("a key has at least one member".into());
    }
    check(fields)?;
    member_paths(fields, &["source", "subject", "data"])
}
