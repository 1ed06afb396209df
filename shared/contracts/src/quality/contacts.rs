//! Where events tell how a customer is reached.

use memchr::memmem::Finder;
use serde::Deserialize;
use tidemill_definitions::{Data, Field};

use crate::{
    event::says_something,
    standard::{standard_email, standard_phone},
};

/// What an event tells of how its customer is reached, in its standard form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToldContacts {
    /// E-mail address, in lower case.
    pub email: Option<String>,
    /// Telephone number, as E.164 writes it where the country is known.
    pub phone: Option<String>,
    /// Whether it has an address; `None` where it does not say.
    pub has_address: Option<bool>,
}

/// The members of each.
#[derive(Debug, Clone)]
pub(super) struct ContactMembers {
    email: TypedMembers,
    phone: TypedMembers,
    address: TypedMembers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenContacts {
    email: WrittenContactMembers,
    phone: WrittenContactMembers,
    address: WrittenContactMembers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenContactMembers {
    types: Vec<String>,
    members: Vec<Field>,
}

/// Members of events of some types.
#[derive(Debug, Clone)]
struct TypedMembers {
    types: Vec<String>,
    members: Vec<ContactMember>,
}

/// A member, and a text that stands in all data that have it. To look for that is
/// cheaper than to read the data.
#[derive(Debug, Clone)]
struct ContactMember {
    path: Vec<String>,
    name: Finder<'static>,
}

impl WrittenContacts {
    pub(super) fn members(self) -> Result<ContactMembers, String> {
        let Self { email, phone, address } = self;
        Ok(ContactMembers { email: email.members()?, phone: phone.members()?, address: address.members()? })
    }
}

impl WrittenContactMembers {
    fn members(self) -> Result<TypedMembers, String> {
        let member = |field: Field| match field {
            Field::Data(path) => Ok(ContactMember::of(path)),
            _ => Err("its members are written `data.…`".to_owned()),
        };
        Ok(TypedMembers { types: self.types, members: self.members.into_iter().map(member).collect::<Result<_, _>>()? })
    }
}

impl ContactMember {
    fn of(path: Vec<String>) -> Self {
        // A name with an escape in it is found by nobody here, as it is by no metric.
        let name = path.last().map(|name| format!("{name}\"")).unwrap_or_default();
        Self { name: Finder::new(name.as_bytes()).into_owned(), path }
    }
}

impl TypedMembers {
    /// The members that may be in the data of an event.
    fn perhaps<'m>(&'m self, kind: &str, data: &str) -> impl Iterator<Item = &'m [String]> {
        let is_asked = self.types.iter().any(|of| of == kind);
        let members = if is_asked { &*self.members } else { &[] };
        let is_there = move |member: &&ContactMember| member.name.find(data.as_bytes()).is_some();
        members.iter().filter(is_there).map(|member| &*member.path).collect::<Vec<_>>().into_iter()
    }
}

impl ContactMembers {
    pub(super) fn of(&self, kind: &str, data: &str, country: Option<&str>) -> ToldContacts {
        let mut read: Option<Data<'_>> = None;
        let mut told = ToldContacts::default();
        for path in self.email.perhaps(kind, data) {
            let data = read.get_or_insert_with(|| Data::of_member(Some(data)));
            told.email = told.email.or_else(|| standard_email(&data.text_at(path)?));
        }
        for path in self.phone.perhaps(kind, data) {
            let data = read.get_or_insert_with(|| Data::of_member(Some(data)));
            told.phone = told.phone.or_else(|| standard_phone(&data.text_at(path)?, country));
        }
        for path in self.address.perhaps(kind, data) {
            let data = read.get_or_insert_with(|| Data::of_member(Some(data)));
            told.has_address =
                told.has_address.or_else(|| data.at(path).filter(|json| says_something(json)).map(|_| true));
        }
        told
    }
}
