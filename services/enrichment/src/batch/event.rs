//! One line of a batch.

use serde::Deserialize;
use tidemill_domain::SourceName;
use tidemill_events::RawBatch;

use crate::{
    duplicates::{EventKey, EventKeys},
    error::Error,
    event::LogEvent,
    orders::OrderStatement,
    reference::CustomerClaim,
    shop::{LookUps, ReadMembers, ShopDefinition},
};

/// An event that was read, and what is to be looked up for it.
pub(crate) struct BatchEvent<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) event: LogEvent<'a>,
    pub(crate) look_ups: LookUps<'a>,
    /// Its own name.
    name: EventKey,
    /// What it is about, where its type has a business key.
    about: Option<EventKey>,
    /// What it says of an order.
    pub(crate) statement: Option<OrderStatement>,
    /// What it claims of a customer.
    pub(crate) claim: Option<CustomerClaim>,
}

/// What reading an event needs, and the next one can use again.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    members: ReadMembers<'a>,
    key: Vec<u8>,
}

/// A line that is no event.
pub(crate) struct UnreadableLine<'a> {
    /// Its place in the batch.
    pub(crate) index: usize,
    pub(crate) text: &'a [u8],
    pub(crate) error: Error,
}

impl<'a> BatchEvent<'a> {
    pub(super) fn parse(text: &'a [u8], shop: &ShopDefinition, scratch: &mut Scratch<'a>) -> Result<Self, Error> {
        // Once for the line: texts within it need no look of their own.
        let json = str::from_utf8(text).map_err(|e| Error::Event(e.to_string()))?;
        let event: LogEvent<'a> = serde_json::from_str(json).map_err(|e| Error::Event(e.to_string()))?;
        if event.enriched.is_some() {
            return Err(Error::Event("it has a member \"enriched\" already".into()));
        }
        let look_ups = shop.events.look_ups(&event, &mut scratch.members);
        let statement = shop.orders.statement(&event, look_ups.currency);
        let claim = shop.customers.statement(&event).map(CustomerClaim::read);
        let name = EventKey::of(&event.source, &event.id, &mut scratch.key);
        let business = look_ups.business.as_ref();
        let about = business.map(|texts| EventKey::of_business(&event.kind, texts, &mut scratch.key));
        Ok(Self { text, event, look_ups, name, about, statement, claim })
    }

    /// By what it is known.
    pub(super) fn keys(&self) -> EventKeys {
        EventKeys { event: self.name, business: self.about }
    }

    /// The name under which it is known what it did to an order: what it is about, where
    /// its type has a business key, since another may count in its place.
    pub(super) fn key(&self) -> EventKey {
        self.about.unwrap_or(self.name)
    }

    /// What it is about, where its type has a business key.
    pub(super) fn about(&self) -> Option<EventKey> {
        self.about
    }
}

impl UnreadableLine<'_> {
    /// The source of the line, for the books: as it claims, else the only one
    /// of its batch.
    pub(crate) fn source(&self, raw: &RawBatch) -> String {
        #[derive(Deserialize)]
        struct ClaimedSource {
            source: String,
        }
        let claimed = serde_json::from_slice::<ClaimedSource>(self.text).ok().map(|claimed| claimed.source);
        let mut sources = raw.sources.keys();
        claimed
            .or_else(|| sources.next().filter(|_| sources.next().is_none()).cloned())
            .unwrap_or_else(|| SourceName::UNKNOWN.into())
    }
}
