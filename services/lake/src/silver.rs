//! Enriched events as rows: a function of the batch and of what is known of its
//! sources.

mod again;
mod lines;
mod orders;
mod place;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;
use tidemill_domain::{Timestamp, text::has_control};
use tidemill_events::{EnrichedBatch, EnrichedEventRef, EnrichmentRef, EventRef, event};
use tidemill_lake_tables::{
    Date, LakeError, Rate, TableRows,
    tables::{OrderChange, SilverEvent, SilverOrderLine},
};
use tidemill_lateness::{Clocks, EventName, LeftOut, MetBatch, MetEvent, Outcome, key_of, meet, perhaps_left_out};

pub(crate) use self::again::{again_lines, again_orders};
use self::place::EventPlace;
use crate::bronze::{int, long};

/// Rows of silver, on their way into its tables.
#[derive(Debug)]
pub(crate) struct SilverRows {
    pub(crate) events: TableRows<SilverEvent<'static>>,
    pub(crate) lines: TableRows<SilverOrderLine<'static>>,
    pub(crate) orders: TableRows<OrderChange<'static>>,
}

/// A batch, read.
pub(crate) struct SilverBatch<'b> {
    batch: &'b EnrichedBatch,
    events: Vec<ReadEvent<'b>>,
}

/// An event of a batch.
struct ReadEvent<'b> {
    index: usize,
    event: EnrichedEventRef<'b>,
    /// What enrichment added, as it stands in the line.
    enriched: Option<&'b str>,
    /// Its name, if it may have been left out before.
    again: Option<EventName>,
}

impl<'b> SilverBatch<'b> {
    /// Reads a batch. A line that is no event is left out: aggregation makes a dead
    /// letter of it, and bronze has it.
    pub(crate) fn read(batch: &'b EnrichedBatch) -> Self {
        let events = event::lines(&batch.lines).enumerate().filter_map(|(index, line)| ReadEvent::read(index, line));
        Self { batch, events: events.collect() }
    }

    /// The names of events that may have been left out before.
    pub(crate) fn again(&self) -> impl Iterator<Item = EventName> {
        self.events.iter().filter_map(|event| event.again)
    }

    /// Adds the events that are no duplicates, and their lines. What may be left out
    /// was looked up before.
    pub(crate) fn add(&self, rows: &mut SilverRows, clocks: &mut Clocks, left_out: &mut LeftOut) {
        let EnrichedBatch { raw_seq, ingested_at, .. } = *self.batch;
        // As of before the batch: what it leaves out itself does not count.
        let is_left_out = |key: &EventName| left_out.has(key, ingested_at);
        let again: Vec<_> = self.events.iter().map(|read| read.again.filter(is_left_out)).collect();
        for (read, again) in self.events.iter().zip(again) {
            let place = MetBatch { raw_seq, ingested_at };
            // No source's silence matters here.
            let now = Timestamp::EPOCH;
            let outcome = meet(clocks, left_out, &read.met(again), place, now, || Some(key_of(&read.event)));
            if outcome.is_duplicate() {
                continue;
            }
            let place = EventPlace {
                partition: self.batch.partition.index().into(),
                raw_seq: long(raw_seq),
                index: int(read.index),
                late: outcome == Outcome::Late,
            };
            read.add_event(rows, place, ingested_at);
            if let Some(enrichment) = &read.event.enriched {
                lines::add(&mut rows.lines, &read.event, enrichment, place);
                orders::add(&mut rows.orders, &read.event, enrichment, place);
            }
        }
    }
}

impl SilverRows {
    pub(crate) fn new() -> Result<Self, LakeError> {
        Ok(Self { events: TableRows::new()?, lines: TableRows::new()?, orders: TableRows::new()? })
    }
}

impl<'b> ReadEvent<'b> {
    fn read(index: usize, line: &'b [u8]) -> Option<Self> {
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
        Some(Self { index, event, enriched: enriched.map(RawValue::get), again })
    }

    fn met(&self, again: Option<EventName>) -> MetEvent<'_> {
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

    fn add_event(&self, rows: &mut SilverRows, place: EventPlace, received: Timestamp) {
        let EventPlace { partition, raw_seq, index, late } = place;
        let event = &self.event;
        let unknown = EnrichmentRef::default();
        let enrichment = event.enriched.as_ref().unwrap_or(&unknown);
        let conversion = enrichment.conversion();
        let Date { year, month, .. } = event.time.into();
        rows.events.push(&SilverEvent {
            partition,
            raw_seq,
            index,
            id: &event.id,
            source: &event.source,
            r#type: &event.kind,
            subject: event.subject.as_deref(),
            time: event.time,
            received,
            late,
            backfill: event.backfill.is_some(),
            customer: event.subject.as_deref(),
            country: enrichment.country.as_deref(),
            region: Some(&*enrichment.region).filter(|region| !region.is_empty()),
            ip_country: enrichment.ip_country.as_deref(),
            currency: enrichment.currency.as_ref().map(|currency| currency.as_str()),
            base_currency: conversion.as_ref().map(|conversion| conversion.base.as_str()),
            rate: conversion.as_ref().and_then(|conversion| conversion.rate).and_then(Rate::read),
            data: event.data.map(RawValue::get),
            enriched: self.enriched,
            quality_score: None,
            year,
            month,
        });
    }
}
