//! One line of a batch.

use serde::Deserialize;
use tidemill_domain::SourceName;
use tidemill_events::{EventRef, RawBatch};

use crate::{
    duplicates::EventKey,
    error::Error,
    orders::OrderStatement,
    reference::CustomerClaim,
    shop::{LookUps, ShopDefinition},
};

/// An event that was read, and what is to be looked up for it.
pub(crate) struct BatchEvent<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) event: EventRef<'a>,
    pub(crate) look_ups: LookUps<'a>,
    /// What it says of an order.
    pub(crate) statement: Option<OrderStatement>,
    /// What it claims of a customer.
    pub(crate) claim: Option<CustomerClaim>,
}

/// A line that is no event.
pub(crate) struct UnreadableLine<'a> {
    /// Its place in the batch.
    pub(crate) index: usize,
    pub(crate) text: &'a [u8],
    pub(crate) error: Error,
}

impl<'a> BatchEvent<'a> {
    pub(super) fn parse(text: &'a [u8], shop: &ShopDefinition) -> Result<Self, Error> {
        let event: EventRef<'a> = serde_json::from_slice(text).map_err(|e| Error::Event(e.to_string()))?;
        if event.enriched.is_some() {
            return Err(Error::Event("it has a member \"enriched\" already".into()));
        }
        let look_ups = shop.events.look_ups(&event);
        let statement = shop.orders.statement(&event, look_ups.currency);
        let claim = shop.customers.statement(&event).map(CustomerClaim::read);
        Ok(Self { text, event, look_ups, statement, claim })
    }

    /// The name under which it is known what it did to an order: what it is about, where
    /// its type has a business key, since another may count in its place.
    pub(super) fn key(&self) -> EventKey {
        let name = || EventKey::of(&self.event.source, &self.event.id, &mut Vec::new());
        self.about().unwrap_or_else(name)
    }

    /// What it is about, where its type has a business key.
    pub(super) fn about(&self) -> Option<EventKey> {
        let texts = self.look_ups.business.as_ref()?;
        Some(EventKey::of_business(&self.event.kind, texts, &mut Vec::new()))
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
