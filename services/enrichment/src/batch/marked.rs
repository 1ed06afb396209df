//! A batch whose duplicates are known.

use tidemill_domain::Currency;
use tidemill_events::RawBatch;

use super::{BatchEvent, SettledBatch};
use crate::{
    duplicates::{Mark, Marks},
    geo::Geo,
    orders::{BatchChanges, EventStatement, OrderContext, OrderStatement, change_alone},
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

    /// What its events say of orders. A duplicate says nothing.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &OrderStatement> {
        self.telling().map(|(_, _, statement)| statement)
    }

    /// The same, with what is known of each event.
    pub(crate) fn event_statements(&self, geo: &Geo, base: Currency) -> Vec<EventStatement<'_>> {
        let of = |(place, event, statement)| EventStatement { place, statement, context: context(event, geo, base) };
        self.telling().map(of).collect()
    }

    /// What the batch did to orders, where it was made before: `kept` has of it what
    /// is not a function of the events alone.
    pub(crate) fn changes_again(&self, mut kept: BatchChanges, geo: &Geo, base: Currency) -> BatchChanges {
        for (place, event, statement) in self.telling() {
            kept.entry(place).or_insert_with(|| change_alone(statement, context(event, geo, base)));
        }
        kept
    }

    /// The batch, with what it does to orders.
    pub(crate) fn settled(self, mut changes: BatchChanges, geo: &Geo, base: Currency) -> SettledBatch<'a> {
        changes.extend(self.left_out(geo, base));
        SettledBatch::new(self.raw, self.events, self.marks, changes)
    }

    /// What events say that came before and come again as history. They change no
    /// order that is remembered; but aggregation counts one that it had left out.
    fn left_out(&self, geo: &Geo, base: Currency) -> BatchChanges {
        let again = self
            .events
            .iter()
            .enumerate()
            .filter(|(place, event)| self.marks.get(*place) != Mark::New && event.event.backfill.is_some());
        let alone = |(place, event): (usize, &BatchEvent<'a>)| {
            let statement = event.statement.as_ref()?;
            Some((place, change_alone(statement, context(event, geo, base))))
        };
        again.filter_map(alone).collect()
    }

    fn telling(&self) -> impl Iterator<Item = (usize, &BatchEvent<'a>, &OrderStatement)> {
        let events = self.events.iter().enumerate().filter(|(place, _)| self.marks.get(*place) == Mark::New);
        events.filter_map(|(place, event)| Some((place, event, event.statement.as_ref()?)))
    }
}

fn context(event: &BatchEvent<'_>, geo: &Geo, base: Currency) -> OrderContext {
    let ip_country = event.event.clientip.as_deref().and_then(|address| geo.country(address));
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
