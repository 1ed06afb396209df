//! Where an event tells of a customer: the section `customer_changes`.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tidemill_definitions::Field;
use tidemill_domain::{EventType, Timestamp};

use super::{
    fields::{check, check_name, member_paths},
    members::{CustomerPath, DataPath, MemberPath, read, text},
};
use crate::event::LogEvent;

/// Types of events that tell of customers at most.
const MAX_TYPES: usize = 32;
/// Attributes that are taken from events at most: half of what a record may have.
const MAX_ATTRIBUTES: usize = 16;

/// What an event says of a customer, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomerStatement {
    pub(crate) id: String,
    /// When the event happened.
    pub(crate) time: Timestamp,
    /// The country, as a code or a name.
    pub(crate) country: Option<String>,
    /// Everything else, by the names of a record.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Reads what events say of customers. Without a definition of it, they say nothing.
#[derive(Debug, Default)]
pub(crate) struct CustomerMembers {
    types: BTreeSet<String>,
    id: Vec<CustomerPath>,
    country: Vec<DataPath>,
    attributes: Vec<(String, Vec<DataPath>)>,
    /// The members of data that the paths begin with.
    of_data: Vec<String>,
}

/// How events tell of customers, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCustomers {
    types: Vec<String>,
    id: Vec<Field>,
    attributes: BTreeMap<String, Vec<Field>>,
}

/// The key that is wrong, and why.
type CustomersFault = (String, String);

impl WrittenCustomers {
    /// `country` is the attribute that is a customer's country.
    pub(super) fn members(self, country: &str) -> Result<CustomerMembers, CustomersFault> {
        let fault = |key: &str| {
            let key = key.to_owned();
            move |reason: String| (key, reason)
        };
        if self.types.len() > MAX_TYPES {
            return Err(fault("types")(format!("names more than {MAX_TYPES} types of events")));
        }
        for kind in &self.types {
            kind.parse::<EventType>().map_err(|reason| fault("types")(format!("an event type {reason}")))?;
        }
        check(&self.id).map_err(fault("id"))?;
        let id = member_paths(&self.id, &["subject", "data"]).map_err(fault("id"))?;
        if self.attributes.is_empty() || self.attributes.len() > MAX_ATTRIBUTES {
            return Err(fault("attributes")(format!("has 1 to {MAX_ATTRIBUTES} attributes")));
        }
        let mut members = CustomerMembers { types: self.types.into_iter().collect(), ..CustomerMembers::default() };
        members.id = id.into_iter().filter_map(|path| members.path_of_id(path)).collect();
        for (name, fields) in self.attributes {
            check_name(&name).and_then(|()| not_of_the_record(&name)).map_err(fault(&name))?;
            check(&fields).map_err(fault(&name))?;
            let paths = member_paths(&fields, &["data"]).map_err(fault(&name))?;
            members.add(name, paths, country);
        }
        Ok(members)
    }
}

fn not_of_the_record(name: &str) -> Result<(), String> {
    match name {
        "id" | "valid_from" => Err("is of the record itself, and no attribute".into()),
        _ => Ok(()),
    }
}

impl CustomerMembers {
    fn path_of_id(&mut self, path: MemberPath) -> Option<CustomerPath> {
        match path {
            MemberPath::Subject => Some(CustomerPath::Subject),
            other => data(other, &mut self.of_data).map(CustomerPath::Data),
        }
    }

    fn add(&mut self, name: String, paths: Vec<MemberPath>, country: &str) {
        let paths: Vec<_> = paths.into_iter().filter_map(|path| data(path, &mut self.of_data)).collect();
        match name == country {
            true => self.country = paths,
            false => self.attributes.push((name, paths)),
        }
    }

    /// What an event says of a customer; `None` where it is about none. What is null,
    /// empty or no single value says nothing.
    pub(crate) fn statement(&self, event: &LogEvent<'_>) -> Option<CustomerStatement> {
        if !self.types.contains(&*event.kind) {
            return None;
        }
        let data = event.data.and_then(|data| read(data, &self.of_data)).unwrap_or_default();
        let id = self.id.iter().find_map(|path| match path {
            CustomerPath::Subject => event.subject_text(),
            CustomerPath::Data(path) => text(path.find(&data)?),
        });
        let id = id.filter(|id| !id.is_empty())?.into_owned();
        let country = find(&self.country, &data);
        let attribute =
            |(name, paths): &(String, Vec<DataPath>)| Some((name.clone(), find(paths, &data)?.into_owned()));
        let attributes = self.attributes.iter().filter_map(attribute).collect();
        Some(CustomerStatement { id, time: event.time, country: country.map(Cow::into_owned), attributes })
    }
}

fn data(path: MemberPath, of_data: &mut Vec<String>) -> Option<DataPath> {
    match path {
        MemberPath::Data(names) => DataPath::new(names, of_data),
        MemberPath::Item(_) | MemberPath::Subject | MemberPath::Source => None,
    }
}

fn find<'a>(paths: &[DataPath], data: &[Option<&'a RawValue>]) -> Option<Cow<'a, str>> {
    let single = |raw: &'a RawValue| match raw.get() {
        flag @ ("true" | "false") => Some(Cow::Borrowed(flag)),
        _ => text(raw),
    };
    paths.iter().filter_map(|path| single(path.find(data)?)).find(|text| !text.trim().is_empty())
}
