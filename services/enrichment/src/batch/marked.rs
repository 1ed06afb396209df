//! A batch whose duplicates are known.

use std::collections::BTreeSet;

use tidemill_domain::Currency;
use tidemill_events::RawBatch;

use super::{BatchEvent, SettledBatch};
use crate::{
    duplicates::{EventKey, Mark, Marks},
    geo::Geo,
    orders::{BatchChanges, EventStatement, OrderContext, OrderStatement, StatementKind, Told, change_alone},
    reference::CustomerClaim,
    shop::NamedCurrency,
};

/// The events of a batch, and which of them are duplicates.
pub(crate) struct MarkedBatch<'a> {
    raw: &'a RawBatch,
    events: Vec<BatchEvent<'a>>,
    marks: Marks,
}

impl<'a> MarkedBatch<'a> {
    pub(super) fn new(raw: &'a RawBatch, events: Vec<BatchEvent<'a>>, marks: Marks) -> Self {
        Self { raw, events, marks }
    }

    pub(crate) fn raw(&self) -> &RawBatch {
        self.raw
    }

    /// What its events claim of customers. A duplicate claims nothing, and nobody claims
    /// what is to come: an event is no newer than its batch.
    pub(crate) fn claims(&self) -> impl Iterator<Item = CustomerClaim> {
        let events = self.events.iter().enumerate().filter(|(place, _)| self.marks.get(*place) == Mark::New);
        let claims = events.filter_map(|(_, event)| event.claim.clone());
        claims.map(|claim| CustomerClaim { time: claim.time.min(self.raw.ingested_at), ..claim })
    }

    /// What its events say of orders for the first time.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &OrderStatement> {
        self.telling().filter(|(.., told)| *told != Told::Again).map(|(_, _, statement, _)| statement)
    }

    /// The events of history that may have told it before.
    pub(crate) fn perhaps_again(&self) -> BTreeSet<EventKey> {
        let again = self.telling().filter(|(.., told)| *told != Told::First);
        again.map(|(_, event, ..)| event.key()).collect()
    }

    /// What its events say of orders, with what is known of each event.
    pub(crate) fn event_statements(&self, geo: &Geo, base: Currency) -> Vec<EventStatement<'_>> {
        let of = |(place, event, statement, told): (usize, &BatchEvent<'_>, _, _)| EventStatement {
            place,
            event: event.key(),
            told,
            statement,
            context: context(event, geo, base),
        };
        self.telling().map(of).collect()
    }

    /// What the batch did to orders, where it was made before: `kept` has of it what
    /// is not a function of the events alone.
    pub(crate) fn changes_again(&self, mut kept: BatchChanges, geo: &Geo, base: Currency) -> BatchChanges {
        for (place, event, statement, _) in self.telling() {
            kept.entry(place).or_insert_with(|| change_alone(statement, context(event, geo, base)));
        }
        kept
    }

    /// The batch, with what it does to orders.
    pub(crate) fn settled(self, changes: BatchChanges) -> SettledBatch<'a> {
        SettledBatch::new(self.raw, self.events, self.marks, changes)
    }

    /// A duplicate tells nothing, unless aggregation counts it if it had left the first
    /// one out: as history, or as somebody else who tells of the same.
    fn telling(&self) -> impl Iterator<Item = (usize, &BatchEvent<'a>, &OrderStatement, Told)> {
        self.events.iter().enumerate().filter_map(|(place, event)| {
            let statement = event.statement.as_ref()?;
            let told = match (self.marks.get(place), event.event.is_history) {
                // What was late is known for longer than what came before.
                (Mark::New, true) if statement.kind != StatementKind::Placed => Told::Perhaps,
                (Mark::New, _) => Told::First,
                (_, true) | (Mark::Repeated, false) => Told::Again,
                (_, false) => return None,
            };
            Some((place, event, statement, told))
        })
    }
}

fn context(event: &BatchEvent<'_>, geo: &Geo, base: Currency) -> OrderContext {
    let ip_country = event.event.client_address().and_then(|address| geo.country(address));
    OrderContext {
        time: event.event.time,
        customer: event.look_ups.customer.as_deref().map(Into::into),
        country: event.look_ups.country.as_deref().map(Into::into),
        ip_country: ip_country.map(|country| country.as_str().into()),
        currency: match event.look_ups.currency {
            NamedCurrency::Absent => Some(base),
            named => named.code(),
        },
    }
}
