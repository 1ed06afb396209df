//! A batch whose duplicates are known.

use std::collections::HashSet;

use tidemill_domain::Currency;
use tidemill_events::{EventRef, RawBatch};

use super::{BatchEvent, JoinedBatch};
use crate::{duplicates::Marks, geo::Geo, reference::Snapshot};

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

    pub(crate) fn events(&self) -> impl ExactSizeIterator<Item = &EventRef<'a>> {
        self.events.iter().map(|event| &event.event)
    }

    /// The products that are to be looked up.
    pub(crate) fn products(&self) -> HashSet<&str> {
        self.events.iter().flat_map(|event| event.look_ups.products.iter().flatten()).map(|id| &**id).collect()
    }

    /// The customers that are to be looked up.
    pub(crate) fn customers(&self) -> HashSet<&str> {
        self.events.iter().filter_map(|event| event.look_ups.customer.as_deref()).collect()
    }

    /// Joins the events with what is known of them, each as of its time.
    pub(crate) fn join<'b>(&'b self, known: &'b Snapshot<'_>, geo: &Geo, base: Currency) -> JoinedBatch<'b> {
        let events = self.events.iter().enumerate();
        let joined = events.map(|(index, event)| event.join(self.marks.get(index), known, geo, base)).collect();
        JoinedBatch::new(self.raw, known.version(), joined)
    }
}
