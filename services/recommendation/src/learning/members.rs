//! By which members an event tells who did what.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tidemill_definitions::{Data, DefinitionError, Field, from_yaml};
use tidemill_domain::{Amount, Currency, EventType, Factor};
use tidemill_events::{EnrichedEventRef, EnrichmentRef, EventTypes, ItemFacts};

use super::event::{LearntEvent, LearntItem, LearntKind, VisitorId};

/// The definition that ships with the service.
pub const BUILT_IN: &str = include_str!("../../definitions/shop.yaml");
/// Events after which a type that has not come is told of.
const ENOUGH_EVENTS: u64 = 10_000;
/// Events of a type, one behind the other, after which it is told that none names who, or what.
const IN_A_ROW: u64 = 100;
/// Members that a list names at most, and event types of a kind.
const MAX_LISTED: usize = 16;
/// Products of an event that are learnt.
const MAX_ITEMS: usize = 500;
/// Attributes of a product that are remembered, and the bytes of one.
const MAX_ATTRIBUTES: usize = 32;
const MAX_ATTRIBUTE_BYTES: usize = 256;
/// Bytes of the id of a customer or a visit that is learnt: of as many somebody may ask.
pub(crate) const MAX_VISITOR_BYTES: usize = 400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLearning {
    kinds: BTreeMap<LearntKind, Vec<String>>,
    items: Vec<Field>,
    products: Vec<Field>,
    customers: Vec<Field>,
    sessions: Vec<Field>,
}

/// What a shop's events are learnt by.
#[derive(Debug)]
pub(crate) struct LearntMembers {
    kinds: BTreeMap<String, LearntType>,
    /// Whether the shop wrote it.
    is_own: bool,
    /// Events of batches that were read.
    events: AtomicU64,
    items: Vec<Field>,
    products: Vec<Field>,
    customers: Vec<Field>,
    sessions: Vec<Field>,
}

/// A type of events that are learnt from.
#[derive(Debug)]
struct LearntType {
    kind: LearntKind,
    /// Whether an event of the type has come.
    has_come: AtomicBool,
    /// How many came since the last one that named a visitor.
    without_visitor: AtomicU64,
    /// The same of a product.
    without_product: AtomicU64,
}

impl LearntType {
    fn of(kind: LearntKind) -> Self {
        let none = AtomicU64::default;
        Self { kind, has_come: AtomicBool::default(), without_visitor: none(), without_product: none() }
    }
}

/// Counts those that lack something, one behind the other.
fn count_in_a_row(lacking: &AtomicU64, lacks: bool) {
    if lacks {
        lacking.fetch_add(1, Ordering::Relaxed);
    } else {
        lacking.store(0, Ordering::Relaxed);
    }
}

/// What was made of an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LearntAs {
    /// It is learnt.
    Learnt(LearntEvent),
    /// It came before.
    Duplicate,
    /// Its type tells of nothing that is learnt, or it names neither who nor what.
    Unconcerned,
}

impl LearntMembers {
    /// Reads a file, or the built-in definition.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, DefinitionError> {
        let Some(file) = file else { return Self::parse("shop.yaml", BUILT_IN) };
        let name = file.display().to_string();
        let yaml =
            tidemill_definitions::read_text(file).map_err(|e| DefinitionError::new(&name, None, e.to_string()))?;
        Ok(Self { is_own: true, ..Self::parse(&name, &yaml)? })
    }

    fn parse(file: &str, yaml: &str) -> Result<Self, DefinitionError> {
        let written: WrittenLearning = from_yaml(file, yaml)?;
        let wrong = |key: &str, reason: String| DefinitionError::at(file, yaml, &format!("{key}:"), reason);
        for (key, fields, roots) in [
            ("items", &written.items, &["data"][..]),
            ("products", &written.products, &["item", "data"]),
            ("customers", &written.customers, &["subject", "data"]),
            ("sessions", &written.sessions, &["subject", "data"]),
        ] {
            check(fields, roots).map_err(|reason| wrong(key, reason))?;
        }
        let kinds = kinds(&written.kinds).map_err(|reason| wrong("kinds", reason))?;
        let WrittenLearning { items, products, customers, sessions, .. } = written;
        let events = AtomicU64::default();
        Ok(Self { kinds, is_own: false, events, items, products, customers, sessions })
    }

    /// Whether events of these types may be learnt from.
    pub(crate) fn are_about(&self, types: &EventTypes) -> bool {
        types.iter().any(|kind| self.kinds.contains_key(kind))
    }

    /// Notes that a batch of so many events has come, and of which types they are.
    pub(crate) fn note(&self, events: u32, types: Option<&EventTypes>) {
        self.events.fetch_add(events.into(), Ordering::Relaxed);
        let known = types.into_iter().flat_map(EventTypes::iter).filter_map(|kind| self.kinds.get(kind));
        known.for_each(|known| known.has_come.store(true, Ordering::Relaxed));
    }

    /// The types of the shop's own definition of which none has come, although many others
    /// have: somebody may have mistyped them. Those that only change what orders come to are
    /// rare.
    fn never_came(&self) -> Vec<&str> {
        if !self.is_own || self.events.load(Ordering::Relaxed) < ENOUGH_EVENTS {
            return Vec::new();
        }
        let never = |known: &LearntType| known.kind.interest().is_some() && !known.has_come.load(Ordering::Relaxed);
        self.kinds.iter().filter(|(_, known)| never(known)).map(|(name, _)| &**name).collect()
    }

    /// What a person should know of the definition: somebody may have mistyped it, or the
    /// shop does not tell what it should.
    pub(crate) fn doubts(&self) -> Option<String> {
        let mut told = Vec::new();
        let never = self.never_came();
        if !never.is_empty() {
            let never = never.join(", ");
            told.push(format!(
                "since the start no event has come of the types {never}, which the definition of learning names"
            ));
        }
        for (lacks, what) in [
            ((|known| &known.without_visitor) as fn(&LearntType) -> &AtomicU64, "customer and no visit"),
            (|known| &known.without_product, "product"),
        ] {
            let many = |known: &LearntType| lacks(known).load(Ordering::Relaxed) >= IN_A_ROW;
            let of: Vec<&str> = self.kinds.iter().filter(|(_, known)| many(known)).map(|(name, _)| &**name).collect();
            if !of.is_empty() {
                let of = of.join(", ");
                told.push(format!(
                    "by the members of the definition of learning, the last {IN_A_ROW} events and more of {of} name no {what}"
                ));
            }
        }
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// What an event is learnt as.
    pub(crate) fn read(&self, event: &EnrichedEventRef<'_>) -> LearntAs {
        let Some(known) = self.kinds.get(&*event.kind) else { return LearntAs::Unconcerned };
        let kind = known.kind;
        // Where the batch does not tell of its types.
        known.has_come.store(true, Ordering::Relaxed);
        let nothing = EnrichmentRef::default();
        let enriched = event.enriched.as_ref().unwrap_or(&nothing);
        if enriched.duplicate {
            return LearntAs::Duplicate;
        }
        let data = Data::of(event.data);
        let id = |fields: &[Field]| first_text(fields, |field| text(field, event, &data)).filter(|id| can_be_asked(id));
        let customer = id(&self.customers).map(|id| VisitorId::customer(&id));
        let session = id(&self.sessions).map(|id| VisitorId::session(&id));
        let items = match kind.interest() {
            Some(_) => self.items(&data, enriched),
            None => Vec::new(),
        };
        count_in_a_row(&known.without_visitor, customer.is_none() && session.is_none());
        count_in_a_row(&known.without_product, kind.interest().is_some() && items.is_empty());
        let is_about_worth = matches!(kind, LearntKind::Order | LearntKind::Change);
        let worth = worth(enriched).filter(|_| is_about_worth);
        let worth_in_base = worth_in_base(enriched).filter(|_| is_about_worth);
        if (customer.is_none() && session.is_none()) || (items.is_empty() && worth.is_none()) {
            return LearntAs::Unconcerned;
        }
        let at = event.time;
        LearntAs::Learnt(LearntEvent { kind, at, customer, session, items, worth, worth_in_base, passed: 0 })
    }

    /// Each product once, in the order of the event.
    fn items(&self, data: &Data<'_>, enriched: &EnrichmentRef<'_>) -> Vec<LearntItem> {
        let list = self.items.iter().find_map(|field| match field {
            Field::Data(path) => serde_json::from_str::<Vec<&RawValue>>(data.at(path)?).ok(),
            _ => None,
        });
        let ids: Vec<Option<String>> = match list {
            None => vec![first_text(&self.products, |field| match field {
                Field::Data(path) => data.text_at(path),
                _ => None,
            })],
            Some(list) => list.into_iter().take(MAX_ITEMS).map(|item| self.product_of(item)).collect(),
        };
        let mut items: Vec<LearntItem> = Vec::with_capacity(ids.len());
        for (place, id) in ids.into_iter().enumerate() {
            let Some(id) = id.filter(|id| id.len() <= tidemill_recommender::MAX_ITEM_BYTES) else { continue };
            if !items.iter().any(|known| known.id == id) {
                items.push(known_item(id, enriched, place));
            }
        }
        items
    }

    fn product_of(&self, item: &RawValue) -> Option<String> {
        let item = Data::of(Some(item));
        first_text(&self.products, |field| match field {
            Field::Item(path) => item.text_at(path),
            _ => None,
        })
    }
}

/// Whether somebody can ask by this id of a visitor, and have who it is of forgotten.
fn can_be_asked(id: &str) -> bool {
    id.len() <= MAX_VISITOR_BYTES && !id.contains(char::is_control)
}

/// The first text that says something.
fn first_text<'t>(fields: &[Field], text: impl Fn(&Field) -> Option<Cow<'t, str>>) -> Option<String> {
    fields.iter().filter_map(text).find(|text| !text.is_empty()).map(Cow::into_owned)
}

fn text<'t>(field: &Field, event: &'t EnrichedEventRef<'_>, data: &Data<'t>) -> Option<Cow<'t, str>> {
    match field {
        Field::Data(path) => data.text_at(path),
        Field::Subject => event.subject.as_deref().map(Cow::Borrowed),
        _ => None,
    }
}

fn known_item(id: String, enriched: &EnrichmentRef<'_>, place: usize) -> LearntItem {
    let Some(facts) = enriched.items.get(place) else {
        let category = ItemFacts::UNKNOWN_CATEGORY.into();
        return LearntItem { id, category, attributes: BTreeMap::new(), is_told: false };
    };
    let is_short = |(name, value): &(&str, &str)| name.len().max(value.len()) <= MAX_ATTRIBUTE_BYTES;
    let known: BTreeMap<&str, &str> = facts.product.iter().filter(is_short).collect();
    let attributes = known.into_iter().take(MAX_ATTRIBUTES).map(|(name, value)| (name.into(), value.into())).collect();
    LearntItem { id, category: facts.category.to_string(), attributes, is_told: true }
}

/// What the event's lines come to, less what is given back by it; `None` where an
/// amount could not be read.
fn worth(enriched: &EnrichmentRef<'_>) -> Option<(Currency, Amount)> {
    let currency = enriched.currency?;
    let mut sum = Amount::ZERO;
    for line in &enriched.lines {
        if line.unread {
            return None;
        }
        sum = sum.checked_add(line.net())?;
    }
    (!sum.is_zero()).then_some((currency, sum))
}

/// The same in the shop's base currency, each line converted by itself as the lake does
/// it; lines of which an amount could not be read are left out.
fn worth_in_base(enriched: &EnrichmentRef<'_>) -> Option<(Currency, Amount)> {
    let conversion = enriched.conversion()?;
    let mut sum = Amount::ZERO;
    for line in enriched.lines.iter().filter(|line| !line.unread) {
        let net = match conversion.rate {
            None => line.net(),
            Some(rate) => match Amount::product_of([Factor::Exact(line.net()), Factor::Written(rate)]) {
                Ok(read) => read.amount,
                Err(_) => continue,
            },
        };
        sum = sum.checked_add(net)?;
    }
    (!sum.is_zero()).then_some((conversion.base, sum))
}

fn kinds(written: &BTreeMap<LearntKind, Vec<String>>) -> Result<BTreeMap<String, LearntType>, String> {
    let mut kinds = BTreeMap::new();
    for (kind, types) in written {
        if types.len() > MAX_LISTED {
            return Err(format!("a kind names more than {MAX_LISTED} event types"));
        }
        for name in types {
            name.parse::<EventType>().map_err(|reason| format!("`{name}`: an event type {reason}"))?;
            if kinds.insert(name.clone(), LearntType::of(*kind)).is_some() {
                return Err(format!("`{name}` is of more than one kind"));
            }
        }
    }
    Ok(kinds)
}

fn check(fields: &[Field], roots: &[&str]) -> Result<(), String> {
    if fields.len() > MAX_LISTED {
        return Err(format!("names more than {MAX_LISTED} members"));
    }
    let root = |field: &Field| match field {
        Field::Data(_) => "data",
        Field::Item(_) => "item",
        Field::Subject => "subject",
        _ => "",
    };
    match fields.iter().all(|field| roots.contains(&root(field))) {
        true => Ok(()),
        false => Err(format!("its members begin with {}", roots.join(" or "))),
    }
}
