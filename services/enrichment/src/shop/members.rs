//! The members of an event that are looked up.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tidemill_domain::Currency;

use crate::event::{JsonText, LogEvent};

/// Items of one event that are looked up; the shop's schema allows no more.
pub(super) const MAX_ITEMS: usize = 500;

/// Where a member lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberPath {
    /// In the event's data.
    Data(Vec<String>),
    /// In an item of the event.
    Item(Vec<String>),
    /// The event's own attribute.
    Subject,
    /// The event's own attribute.
    Source,
}

/// Which members mean what. Of a list, the first counts that holds something of
/// the expected form. Schemas are the user's, so a member may be anything; what
/// has another form than expected says nothing.
#[derive(Debug)]
pub(crate) struct EventMembers {
    items: Vec<DataPath>,
    item_products: Vec<DataPath>,
    products: Vec<DataPath>,
    customers: Vec<CustomerPath>,
    countries: Vec<DataPath>,
    currencies: Vec<DataPath>,
    /// By event type, the members that make the business key together.
    business_keys: BTreeMap<String, Vec<KeyPath>>,
    /// The members of data that the paths begin with.
    of_data: Vec<String>,
    /// The same of items.
    of_item: Vec<String>,
}

/// A path below the members that are read.
#[derive(Debug)]
pub(super) struct DataPath {
    /// The place of its first name among those that are read.
    first: usize,
    rest: Vec<String>,
}

#[derive(Debug)]
pub(super) enum CustomerPath {
    Subject,
    Data(DataPath),
}

#[derive(Debug)]
enum KeyPath {
    Subject,
    Source,
    Data(DataPath),
}

/// What is to be looked up for an event, and what it is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LookUps<'a> {
    /// The product of an event that has no list of items.
    product: Option<Cow<'a, str>>,
    /// Else of each item.
    items: Vec<Option<Cow<'a, str>>>,
    pub(crate) customer: Option<Cow<'a, str>>,
    /// The country that the event names.
    pub(crate) country: Option<Cow<'a, str>>,
    /// The currency that the event names.
    pub(crate) currency: NamedCurrency,
    /// The texts of its business key: `None` where its type has none, or the
    /// event lacks a part.
    pub(crate) business: Option<Vec<Cow<'a, str>>>,
}

/// The members that are read of an event and of an item of it. Each event uses them anew.
#[derive(Debug, Default)]
pub(crate) struct ReadMembers<'a> {
    data: Vec<Option<&'a RawValue>>,
    item: Vec<Option<&'a RawValue>>,
}

impl LookUps<'_> {
    /// The product of each item.
    pub(crate) fn products(&self) -> impl Iterator<Item = Option<&str>> {
        let of_items = self.items.iter().map(Option::as_deref);
        self.product.as_deref().map(Some).into_iter().chain(of_items)
    }
}

/// What an event says of the currency of its amounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum NamedCurrency {
    /// Nothing.
    #[default]
    Absent,
    /// This one.
    Code(Currency),
    /// Something that is no currency.
    Unknown,
}

impl NamedCurrency {
    /// The currency, where it is one.
    pub(crate) const fn code(self) -> Option<Currency> {
        match self {
            Self::Code(code) => Some(code),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl EventMembers {
    pub(crate) fn new(
        items: Vec<MemberPath>,
        products: Vec<MemberPath>,
        customers: Vec<MemberPath>,
        countries: Vec<MemberPath>,
        currencies: Vec<MemberPath>,
    ) -> Self {
        let mut members = Self {
            items: Vec::new(),
            item_products: Vec::new(),
            products: Vec::new(),
            customers: Vec::new(),
            countries: Vec::new(),
            currencies: Vec::new(),
            business_keys: BTreeMap::new(),
            of_data: Vec::new(),
            of_item: Vec::new(),
        };
        let data = |path: MemberPath, of_data: &mut Vec<String>| match path {
            MemberPath::Data(names) => DataPath::new(names, of_data),
            MemberPath::Item(_) | MemberPath::Subject | MemberPath::Source => None,
        };
        for path in products {
            match path {
                MemberPath::Item(names) => members.item_products.extend(DataPath::new(names, &mut members.of_item)),
                other => members.products.extend(data(other, &mut members.of_data)),
            }
        }
        for path in customers {
            match path {
                MemberPath::Subject => members.customers.push(CustomerPath::Subject),
                other => members.customers.extend(data(other, &mut members.of_data).map(CustomerPath::Data)),
            }
        }
        members.items = items.into_iter().filter_map(|path| data(path, &mut members.of_data)).collect();
        members.countries = countries.into_iter().filter_map(|path| data(path, &mut members.of_data)).collect();
        members.currencies = currencies.into_iter().filter_map(|path| data(path, &mut members.of_data)).collect();
        members
    }

    /// With the business keys of these event types.
    #[must_use]
    pub(crate) fn with_business_keys(mut self, keys: BTreeMap<String, Vec<MemberPath>>) -> Self {
        for (kind, paths) in keys {
            let path = |path| match path {
                MemberPath::Subject => Some(KeyPath::Subject),
                MemberPath::Source => Some(KeyPath::Source),
                MemberPath::Data(names) => DataPath::new(names, &mut self.of_data).map(KeyPath::Data),
                MemberPath::Item(_) => None,
            };
            let paths = paths.into_iter().filter_map(path).collect();
            self.business_keys.insert(kind, paths);
        }
        self
    }

    /// What an event names.
    pub(crate) fn look_ups<'a>(&self, event: &LogEvent<'a>, members: &mut ReadMembers<'a>) -> LookUps<'a> {
        let ReadMembers { data: found, item: found_of_item } = members;
        let is_read = event.data.is_some_and(|data| read_into(data, &self.of_data, found));
        let data = is_read.then_some(&**found);
        let text_at = |path: &DataPath| text(path.find(data?)?);
        let list = self.items.iter().find_map(|path| list(path.find(data?)?));
        let product = match list {
            Some(_) => None,
            None => self.products.iter().find_map(text_at),
        };
        let items = list.into_iter().flatten().take(MAX_ITEMS);
        LookUps {
            product,
            items: items.map(|item| self.product_of(item, found_of_item)).collect(),
            customer: self.customers.iter().find_map(|path| match path {
                CustomerPath::Subject => event.subject_text(),
                CustomerPath::Data(path) => text_at(path),
            }),
            country: self.countries.iter().find_map(text_at),
            currency: self.currency_of(data),
            business: self.business_key(event, text_at),
        }
    }

    /// The first member counts that is a currency.
    fn currency_of(&self, data: Option<&[Option<&RawValue>]>) -> NamedCurrency {
        let members = self.currencies.iter().filter_map(|path| path.find(data?));
        members.map(named_currency).fold(NamedCurrency::Absent, |found, next| match (found, next) {
            (NamedCurrency::Code(_), _) | (_, NamedCurrency::Absent) => found,
            (NamedCurrency::Absent | NamedCurrency::Unknown, next) => next,
        })
    }

    /// An empty text is no part of a key: it says nothing.
    fn business_key<'a>(
        &self,
        event: &LogEvent<'a>,
        text_at: impl Fn(&DataPath) -> Option<Cow<'a, str>>,
    ) -> Option<Vec<Cow<'a, str>>> {
        let paths = self.business_keys.get(&*event.kind)?;
        let text = |path: &KeyPath| match path {
            KeyPath::Subject => event.subject_text(),
            KeyPath::Source => Some(event.source.clone()),
            KeyPath::Data(path) => text_at(path),
        };
        paths.iter().map(|path| text(path).filter(|text| !text.is_empty())).collect()
    }

    fn product_of<'a>(&self, item: &'a RawValue, found: &mut Vec<Option<&'a RawValue>>) -> Option<Cow<'a, str>> {
        let is_read = read_into(item, &self.of_item, found);
        self.item_products.iter().filter(|_| is_read).find_map(|path| text(path.find(found)?))
    }
}

impl DataPath {
    /// `read` gathers the first names.
    pub(super) fn new(names: Vec<String>, read: &mut Vec<String>) -> Option<Self> {
        let mut names = names.into_iter();
        let name = names.next()?;
        let first = read.iter().position(|known| *known == name).unwrap_or_else(|| {
            read.push(name);
            read.len() - 1
        });
        Some(Self { first, rest: names.collect() })
    }

    pub(super) fn find<'a>(&self, members: &[Option<&'a RawValue>]) -> Option<&'a RawValue> {
        let first = members.get(self.first).copied().flatten()?;
        self.rest.iter().try_fold(first, |value, name| read(value, std::slice::from_ref(name))?.pop().flatten())
    }
}

/// The members of an object with these names; `None` for another form, and for
/// an object that has one of them twice.
pub(super) fn read<'a>(raw: &'a RawValue, names: &[String]) -> Option<Vec<Option<&'a RawValue>>> {
    let mut found = Vec::new();
    read_into(raw, names, &mut found).then_some(found)
}

/// The same into what is at hand; `false` for none.
fn read_into<'a>(raw: &'a RawValue, names: &[String], found: &mut Vec<Option<&'a RawValue>>) -> bool {
    found.clear();
    found.resize(names.len(), None);
    let named = Named { names, found };
    named.deserialize(&mut serde_json::Deserializer::from_str(raw.get())).is_ok()
}

struct Named<'n, 'a> {
    names: &'n [String],
    found: &'n mut [Option<&'a RawValue>],
}

impl<'de> DeserializeSeed<'de> for Named<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(JsonText(name)) = map.next_key()? {
            match self.names.iter().position(|wanted| *wanted == name) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(place) => {
                    if self.found[place].replace(map.next_value()?).is_some() {
                        return Err(M::Error::custom("a member stands there twice"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text of a string, or of a number: an id may be written as either.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes() {
        // It is JSON: without an escape, what stands between the quotes is the text.
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => raw.get().get(1..=inner.len()).map(Cow::Borrowed),
        [b'"', ..] => serde_json::from_str::<JsonText<'_>>(raw.get()).ok().map(|JsonText(text)| text),
        [b'-' | b'0'..=b'9', ..] => Some(Cow::Borrowed(raw.get())),
        _ => None,
    }
}

/// Null and an empty text say nothing.
fn named_currency(raw: &RawValue) -> NamedCurrency {
    match text(raw).as_deref().map(str::trim) {
        None if raw.get() == "null" => NamedCurrency::Absent,
        Some("") => NamedCurrency::Absent,
        named => named.and_then(|text| text.parse().ok()).map_or(NamedCurrency::Unknown, NamedCurrency::Code),
    }
}

pub(super) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}
