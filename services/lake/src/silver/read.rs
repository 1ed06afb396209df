//! A line, read.

use serde_json::value::RawValue;
use tidemill_domain::text::has_control;
use tidemill_events::{EnrichedEventRef, EnrichmentRef, EventRef};
use tidemill_lateness::{EventName, MetEvent, perhaps_left_out};

/// An event of a batch.
pub(crate) struct ReadEvent<'b> {
    pub(super) index: usize,
    /// As it stands in the batch.
    pub(super) line: &'b [u8],
    pub(super) event: EnrichedEventRef<'b>,
    /// What enrichment added, as it stands in the line.
    pub(super) enriched: Option<&'b str>,
    /// Its name, if it may have been left out before.
    pub(super) again: Option<EventName>,
}

impl<'b> ReadEvent<'b> {
    /// Reads a line; `None` of one that is no event.
    pub(crate) fn read(index: usize, line: &'b [u8]) -> Option<Self> {
        // What enrichment added is wanted both as it stands there and read.
        let EventRef {
            id,
            source,
            kind,
            time,
            subject,
            partitionkey,
            traceparent,
            clientip,
            backfill,
            unread,
            redriven,
            data,
            enriched,
        } = EventRef::<'b, &'b RawValue>::read(line).ok()?;
        let enrichment: Option<EnrichmentRef<'b>> = match enriched {
            Some(enriched) => Some(serde_json::from_str(enriched.get()).ok()?),
            None => None,
        };
        let event = EventRef {
            id,
            source,
            kind,
            time,
            subject,
            partitionkey,
            traceparent,
            clientip,
            backfill,
            unread,
            redriven,
            data,
            enriched: enrichment,
        };
        if has_control(&event.source) {
            // Aggregation does not count it either.
            return None;
        }
        let again = event.enriched.as_ref().and_then(|enrichment| perhaps_left_out(&event, enrichment));
        Some(Self { index, line, event, enriched: enriched.map(RawValue::get), again })
    }

    pub(super) fn met(&self, again: Option<EventName>) -> MetEvent<'_> {
        let enrichment = self.event.enriched.as_ref();
        MetEvent {
            source: &self.event.source,
            time: self.event.time,
            is_backfill: self.event.backfill.is_some(),
            duplicate: enrichment.is_some_and(|enrichment| enrichment.duplicate),
            repeated: enrichment.is_some_and(|enrichment| enrichment.repeated),
            again,
        }
    }
}
