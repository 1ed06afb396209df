//! A batch of which it is known what it does to orders.

use tidemill_domain::Currency;
use tidemill_events::RawBatch;

use super::{BatchEvent, JoinedBatch};
use crate::{
    duplicates::Marks,
    event::LogEvent,
    geo::Geo,
    orders::{BatchChanges, OrderChange, OrderContext},
    reference::{Ids, Snapshot},
};

/// The events of a batch, and what they do to orders.
pub(crate) struct SettledBatch<'a> {
    raw: &'a RawBatch,
    events: Vec<BatchEvent<'a>>,
    marks: Marks,
    changes: BatchChanges,
}

impl<'a> SettledBatch<'a> {
    pub(super) fn new(raw: &'a RawBatch, events: Vec<BatchEvent<'a>>, marks: Marks, changes: BatchChanges) -> Self {
        Self { raw, events, marks, changes }
    }

    pub(crate) fn raw(&self) -> &RawBatch {
        self.raw
    }

    pub(crate) fn events(&self) -> impl ExactSizeIterator<Item = &LogEvent<'a>> {
        self.events.iter().map(|event| &event.event)
    }

    /// The products that are to be looked up: those of events, and those of the
    /// orders that they change.
    pub(crate) fn products(&self) -> Ids<'_> {
        let of_events = self.events.iter().flat_map(|event| event.look_ups.products().flatten());
        let of_orders = self.changes.values().flat_map(OrderChange::products_of_order);
        of_events.chain(of_orders).collect()
    }

    /// The customers that are to be looked up.
    pub(crate) fn customers(&self) -> Ids<'_> {
        let of_events = self.events.iter().filter_map(|event| event.look_ups.customer.as_deref());
        let of_orders = self.contexts().filter_map(|context| context.customer.as_deref());
        of_events.chain(of_orders).collect()
    }

    fn contexts(&self) -> impl Iterator<Item = &OrderContext> {
        self.changes.values().filter_map(|change| change.context.as_ref())
    }

    /// Joins the events with what is known of them, each as of its time.
    pub(crate) fn join<'b>(&'b self, known: &'b Snapshot<'_>, geo: &Geo, base: Currency) -> JoinedBatch<'b> {
        let change = |place| self.changes.get(&place);
        let events = self.events.iter().enumerate();
        let mut products = Vec::with_capacity(self.events.len());
        let join = |(place, event): (usize, &'b BatchEvent<'a>)| {
            event.join(self.marks.get(place), change(place), known, geo, base, &mut products)
        };
        let joined = events.map(join).collect();
        JoinedBatch::new(self.raw, known.version(), joined, products)
    }
}
