//! What rules look at.

use std::borrow::Cow;

use tidemill_definitions::{Condition, Data, EventRow, Field};
use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

/// An event, on its way into silver.
#[derive(Clone, Copy)]
pub struct JudgedEvent<'e, 'a> {
    event: &'e EnrichedEventRef<'a>,
    enrichment: &'e EnrichmentRef<'a>,
    data: &'e Data<'a>,
    /// When ingestion took it in.
    received: Timestamp,
}

impl<'e, 'a> JudgedEvent<'e, 'a> {
    /// `enrichment` is that of the event. `data` may be empty where nobody
    /// [needs](crate::EventJudge::needs_data) it.
    pub const fn new(
        event: &'e EnrichedEventRef<'a>,
        enrichment: &'e EnrichmentRef<'a>,
        data: &'e Data<'a>,
        received: Timestamp,
    ) -> Self {
        Self { event, enrichment, data, received }
    }

    pub(crate) const fn event(&self) -> &'e EnrichedEventRef<'a> {
        self.event
    }

    pub(crate) const fn enrichment(&self) -> &'e EnrichmentRef<'a> {
        self.enrichment
    }

    pub(crate) const fn received(&self) -> Timestamp {
        self.received
    }

    /// The text in a field, if there is more than blanks in it.
    pub(crate) fn text(&self, field: &Field) -> Option<Cow<'a, str>> {
        self.row().text(field).filter(|text| !text.trim_ascii().is_empty())
    }

    /// Whether a field says something: of a member of the data an object and a list too.
    pub(crate) fn has(&self, field: &Field) -> bool {
        match field {
            Field::Data(path) => self.data.at(path).is_some_and(says_something),
            other => self.text(other).is_some(),
        }
    }

    pub(crate) fn meets(&self, condition: &Condition) -> bool {
        self.row().meets(condition)
    }

    fn row(&self) -> EventRow<'e, 'a> {
        EventRow::new(self.event, self.enrichment, self.data)
    }
}

/// Whether a value of JSON is more than null, blanks, an empty list or an empty object.
pub(crate) fn says_something(json: &str) -> bool {
    let is_sign = |c: char| c.is_whitespace() || matches!(c, '"' | '{' | '}' | '[' | ']');
    json != "null" && !json.chars().all(is_sign)
}
