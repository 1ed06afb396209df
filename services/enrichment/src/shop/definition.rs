//! The definition's file.

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Deserialize;
use tidemill_definitions::{DefinitionError, Field, from_yaml};

use super::members::{EventMembers, MemberPath};
use crate::error::Error;

/// The definition that ships with the service.
pub const BUILT_IN: &str = include_str!("../../definitions/shop.yaml");
/// Bytes of a definition; the built-in one has some 1,500.
const MAX_BYTES: usize = 64 << 10;
/// Members that a list names at most: each of them is looked for in every event.
const MAX_MEMBERS: usize = 16;
/// Names that lead to a member at most.
const MAX_DEPTH: usize = 8;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 64;

/// What a shop calls things.
#[derive(Debug)]
pub(crate) struct ShopDefinition {
    pub(crate) events: EventMembers,
    pub(crate) records: RecordNames,
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
    records: RecordNames,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMembers {
    items: Vec<Field>,
    products: Vec<Field>,
    customers: Vec<Field>,
    countries: Vec<Field>,
}

impl ShopDefinition {
    /// Reads a file, or the built-in definition.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Error> {
        let Some(file) = file else { return Ok(Self::parse("shop.yaml", BUILT_IN)?) };
        let name = file.display().to_string();
        let yaml = std::fs::read_to_string(file).map_err(|e| Error::definition(&name, e.to_string()))?;
        Ok(Self::parse(&name, &yaml)?)
    }

    fn parse(file: &str, yaml: &str) -> Result<Self, DefinitionError> {
        if yaml.len() > MAX_BYTES {
            return Err(DefinitionError::new(file, None, format!("is longer than {MAX_BYTES} bytes")));
        }
        let Written { events, records } = from_yaml(file, yaml)?;
        let wrong = |key: &str, reason: String| DefinitionError::at(file, yaml, &format!("{key}:"), reason);
        for (key, fields) in [
            ("items", &events.items),
            ("products", &events.products),
            ("customers", &events.customers),
            ("countries", &events.countries),
        ] {
            check(fields).map_err(|reason| wrong(key, reason))?;
        }
        for (key, name) in [("category", &records.category), ("country", &records.country)] {
            check_name(name).map_err(|reason| wrong(key, reason))?;
        }
        let paths = |key, fields, roots| member_paths(fields, roots).map_err(|reason| wrong(key, reason));
        let events = EventMembers::new(
            paths("items", &events.items, &["data"])?,
            paths("products", &events.products, &["item", "data"])?,
            paths("customers", &events.customers, &["subject", "data"])?,
            paths("countries", &events.countries, &["data"])?,
        );
        Ok(Self { events, records })
    }
}

fn check(fields: &[Field]) -> Result<(), String> {
    if fields.len() > MAX_MEMBERS {
        return Err(format!("names more than {MAX_MEMBERS} members"));
    }
    for field in fields {
        let (Field::Data(names) | Field::Item(names)) = field else { continue };
        if names.len() > MAX_DEPTH {
            return Err(format!("a member lies at most {MAX_DEPTH} names deep"));
        }
        names.iter().try_for_each(|name| check_name(name))?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {MAX_NAME_BYTES} bytes and no control characters"));
    }
    Ok(())
}

fn member_paths(fields: &[Field], roots: &[&str]) -> Result<Vec<MemberPath>, String> {
    let path = |field: &Field| match field {
        Field::Data(names) if roots.contains(&"data") => Some(MemberPath::Data(names.clone())),
        Field::Item(names) if roots.contains(&"item") => Some(MemberPath::Item(names.clone())),
        Field::Subject if roots.contains(&"subject") => Some(MemberPath::Subject),
        _ => None,
    };
    let paths: Option<Vec<_>> = fields.iter().map(path).collect();
    paths.ok_or_else(|| {
        let forms =
            roots.iter().map(|root| if *root == "subject" { "`subject`".into() } else { format!("`{root}.…`") });
        format!("its members are written {}", forms.collect::<Vec<String>>().join(" or "))
    })
}
