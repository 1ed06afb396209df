//! A batch with what is known of its events.

use tidemill_domain::Partition;
use tidemill_events::{EnrichedBatch, EventTypes, RawBatch, TraceParent, event::splice_enrichment};

use super::{BatchPlace, BatchTally, EncodedBatch, JoinedEvent, join::BatchProducts};
use crate::error::Error;

/// From here on the events of a batch get no attributes, only what is counted
/// by. It bounds an enriched batch, whatever came in and however much is known
/// of it, to what readers and NATS accept.
const FULL_DETAIL_BYTES: usize = 512 * 1024;
/// An event whose attributes alone would take more than this gets none either:
/// each of its items may have fifteen long ones.
const EVENT_DETAIL_BYTES: usize = 128 * 1024;

/// The events of a batch, and what is known of them.
pub(crate) struct JoinedBatch<'b> {
    raw: &'b RawBatch,
    /// The version of the reference data.
    refdata: u64,
    events: Vec<JoinedEvent<'b>>,
    products: BatchProducts<'b>,
}

impl<'b> JoinedBatch<'b> {
    pub(super) fn new(
        raw: &'b RawBatch,
        refdata: u64,
        events: Vec<JoinedEvent<'b>>,
        products: BatchProducts<'b>,
    ) -> Self {
        Self { raw, refdata, events, products }
    }

    /// Writes the events with what is known of them, one a line.
    pub(crate) fn encode(
        &self,
        partition: Partition,
        place: BatchPlace,
        trace: Option<TraceParent>,
    ) -> Result<EncodedBatch, Error> {
        let mut tally = BatchTally::default();
        let mut lines = Vec::with_capacity(self.events.iter().map(|event| event.text().len() + 160).sum());
        for event in &self.events {
            let products = event.products(&self.products);
            let is_detailed = lines.len() < FULL_DETAIL_BYTES && event.detail_bytes(products) <= EVENT_DETAIL_BYTES;
            let enrichment = event.enrichment(self.refdata, is_detailed, products);
            splice_enrichment(event.text(), &enrichment, &mut lines).map_err(tidemill_bus::Error::from)?;
            tally.add(&enrichment);
        }
        let message = EnrichedBatch {
            partition,
            raw_seq: place.raw_seq,
            raw_prev: place.raw_prev,
            remade: place.remade,
            ingested_at: self.raw.ingested_at,
            refdata: self.refdata,
            count: u32::try_from(self.events.len()).unwrap_or(u32::MAX),
            types: EventTypes::of(self.events.iter().map(JoinedEvent::kind)),
            lines: lines.into(),
            trace,
        };
        Ok(EncodedBatch { message, tally })
    }
}
