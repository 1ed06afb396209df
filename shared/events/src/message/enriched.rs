//! The log, enriched.

use bytes::Bytes;
use schemars::SchemaGenerator;
use tidemill_domain::{Partition, Timestamp};

use super::{EventTypes, Message};
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, NDJSON, check_version, inflate, name, optional, required},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    event::EnrichedEvent,
    topology::{self, StreamName},
    trace::TraceParent,
};

/// A batch of `RAW`, enriched: the same events in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedBatch {
    /// The partition that all its events belong to.
    pub partition: Partition,
    /// The stream sequence of the batch in `RAW`.
    pub raw_seq: u64,
    /// The sequence of the batch before it in the same partition, 0 for none:
    /// who reads can tell a gap from a start.
    pub raw_prev: u64,
    /// When ingestion took it in.
    pub ingested_at: Timestamp,
    /// Version of the reference data that it was made with.
    pub refdata: u64,
    /// For a batch that was published before and is made once more: why, as a
    /// number of enrichment's. The same reason gives the same message id.
    pub remade: Option<u64>,
    /// The number of events.
    pub count: u32,
    /// The types of its events: who is interested in none of them need not read
    /// it. `None` where that is not known, as in a batch of an earlier release.
    pub types: Option<EventTypes>,
    /// The events, one a line.
    pub lines: Bytes,
    /// The batch's own span.
    pub trace: Option<TraceParent>,
}

impl Message for EnrichedBatch {
    const STREAM: StreamName = StreamName::Enriched;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        // The server must not take a batch that is made once more for a copy.
        let id = match self.remade {
            None => format!("enriched-{}", self.raw_seq),
            Some(reason) => format!("enriched-{}-again-{reason}", self.raw_seq),
        };
        Ok(Encoded::new(topology::enriched(self.partition), id)
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, self.partition)
            .header(name::COUNT, self.count)
            .header_opt(name::TYPES, self.types.as_ref())
            .header(name::RAW_SEQ, self.raw_seq)
            .header(name::RAW_PREV, self.raw_prev)
            .header_opt(name::REMADE, self.remade)
            .header(name::INGESTED_AT, self.ingested_at.millis())
            .header(name::REFDATA, self.refdata)
            .header_opt(name::TRACEPARENT, self.trace)
            .body(NDJSON, self.lines.clone()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        Self::decode_if(headers, payload, |_| true)
    }
}

impl EnrichedBatch {
    /// Reads a batch whose types are wanted. Of another one `lines` is empty: that
    /// saves to inflate it.
    pub fn decode_if(
        headers: &impl HeaderSource,
        payload: Bytes,
        is_wanted: impl FnOnce(&EventTypes) -> bool,
    ) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let types: Option<EventTypes> = optional(headers, name::TYPES).unwrap_or_default();
        Ok(Self {
            partition: Partition::new(required(headers, name::PARTITION)?),
            raw_seq: required(headers, name::RAW_SEQ)?,
            raw_prev: required(headers, name::RAW_PREV)?,
            remade: optional(headers, name::REMADE)?,
            ingested_at: Timestamp::saturating_from_millis(required(headers, name::INGESTED_AT)?),
            refdata: required(headers, name::REFDATA)?,
            count: required(headers, name::COUNT)?,
            lines: if types.as_ref().is_none_or(is_wanted) { inflate(headers, payload)? } else { Bytes::new() },
            types,
            trace: optional(headers, name::TRACEPARENT).unwrap_or_default(),
        })
    }
}

impl Described for EnrichedBatch {
    const CONTRACT: Contract = Contract {
        name: "EnrichedBatch",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "A batch, enriched",
        about: "The same batches in the same order, enriched. Written by enrichment alone. Keep the last `Tm-Raw-Seq` \
                that you have applied per partition: what is at or below it is a repetition, and a `Tm-Raw-Prev` above \
                it tells of a gap.",
        reading: "Follow enriched events",
        writing: None,
        ids: &["enriched-<RAW sequence>", "enriched-<RAW sequence>-again-<reason>"],
        own_headers: &[
            header::PARTITION,
            header::COUNT,
            Header::sometimes(
                name::TYPES,
                Form::Types,
                "The types of its events: who looks for other types need not read the body. \
                 Absent where there are too many to name.",
            ),
            header::RAW_SEQ,
            Header::always(
                name::RAW_PREV,
                Form::Number,
                "Sequence in `RAW` of the batch before it in the partition, 0 for none: so a reader can tell a gap.",
            ),
            Header::sometimes(
                name::REMADE,
                Form::Number,
                "The batch was published before and is made once more; the number tells one reason from another.",
            ),
            header::INGESTED_AT,
            Header::always(
                name::REFDATA,
                Form::Number,
                "Version of the reference data that it was made with: its number of accepted changes.",
            ),
            header::TRACEPARENT,
        ],
        body: BodyKind::Lines(SchemaGenerator::subschema_for::<EnrichedEvent>),
    };
}
