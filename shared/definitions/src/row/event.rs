//! An event as a whole, for whoever asks whether a condition holds of it.

use std::borrow::Cow;

use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use super::MetricRow;
use crate::{Condition, Data, Field};

/// An event as a row: what it has in a field, and whether a condition holds of it, by
/// the rules of metrics.
pub struct EventRow<'e, 'a>(MetricRow<'e, 'a>);

impl<'e, 'a> EventRow<'e, 'a> {
    /// `enrichment` and `data` are those of the event. Who asks for no member of the
    /// data may give none.
    pub fn new(event: &'e EnrichedEventRef<'a>, enrichment: &'e EnrichmentRef<'a>, data: &'e Data<'a>) -> Self {
        Self(MetricRow { event, enrichment, data, item: None, line: None, index: 0 })
    }

    /// The text or number in a field, as a text.
    pub fn text(&self, field: &Field) -> Option<Cow<'a, str>> {
        self.0.text(field)
    }

    /// Whether a condition holds. One that cannot be evaluated does not.
    pub fn meets(&self, condition: &Condition) -> bool {
        self.0.meets(Some(condition))
    }
}
