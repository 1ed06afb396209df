//! Rows of an event of silver once more, by the code that made them first.

use serde_json::value::RawValue;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};
use tidemill_lake_tables::{
    KeptEvent, TableRows,
    tables::{OrderChange, SilverEvent, SilverOrderLine},
};

use super::{lines, orders, place::EventPlace, read::ReadEvent, rules::SilverRules};

/// Adds the event itself, by the rules of now.
pub(crate) fn again_events(rows: &mut TableRows<SilverEvent<'static>>, event: &KeptEvent<'_>, rules: &SilverRules) {
    let data = event.data.and_then(|data| serde_json::from_str::<&RawValue>(data).ok());
    let read = ReadEvent {
        index: 0,
        line: &[],
        event: EnrichedEventRef { data, enriched: enrichment_of(event), ..event_of(event) },
        enriched: event.enriched,
        again: None,
    };
    read.add_again(rows, place_of(event), rules, event.warnings);
}

/// Adds the lines of an event.
pub(crate) fn again_lines(rows: &mut TableRows<SilverOrderLine<'static>>, event: &KeptEvent<'_>) {
    if let Some(enrichment) = enrichment_of(event) {
        lines::add(rows, &event_of(event), &enrichment, place_of(event));
    }
}

/// Adds what an event does to its order.
pub(crate) fn again_orders(rows: &mut TableRows<OrderChange<'static>>, event: &KeptEvent<'_>) {
    if let Some(enrichment) = enrichment_of(event) {
        orders::add(rows, &event_of(event), &enrichment, place_of(event));
    }
}

/// An event whose enrichment could not be read never came to silver.
fn enrichment_of<'a>(event: &KeptEvent<'a>) -> Option<EnrichmentRef<'a>> {
    serde_json::from_str(event.enriched?).ok()
}

const fn place_of(event: &KeptEvent<'_>) -> EventPlace {
    let KeptEvent { partition, raw_seq, index, received, late, redrive, .. } = *event;
    EventPlace { partition, raw_seq, index, received, late, redrive }
}

/// What rows do not depend on is left out.
fn event_of<'a>(event: &KeptEvent<'a>) -> EnrichedEventRef<'a> {
    EnrichedEventRef {
        id: event.id.into(),
        source: event.source.into(),
        kind: event.kind.into(),
        subject: event.subject.map(Into::into),
        time: event.time,
        partitionkey: None,
        traceparent: None,
        clientip: None,
        // Which history it is, rows do not tell.
        backfill: event.backfill.then(|| "history".into()),
        unread: None,
        redriven: None,
        data: None,
        enriched: None,
    }
}
