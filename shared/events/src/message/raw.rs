//! The log.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::SchemaGenerator;
use tidemill_domain::{Partition, Timestamp};

use super::Message;
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, NDJSON, ascii_json, check_version, inflate, name, optional, required},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    event::Event,
    topology::{self, StreamName},
    trace::TraceParent,
};

/// A batch of accepted events in one partition, as NDJSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBatch {
    /// Unique name of the batch; a retry of its publish repeats it.
    pub batch_id: uuid::Uuid,
    /// The partition that all its events belong to.
    pub partition: Partition,
    /// When ingestion took it in: the log's own clock.
    pub ingested_at: Timestamp,
    /// Events by source.
    pub sources: BTreeMap<String, u32>,
    /// Dead letters (their sequences in `DLQ`) whose events were sent again
    /// and are in this batch.
    pub redriven: Vec<u64>,
    /// The events, one a line.
    pub lines: Bytes,
    /// The batch's own span.
    pub trace: Option<TraceParent>,
}

impl RawBatch {
    /// The number of events.
    pub fn count(&self) -> u32 {
        self.sources.values().fold(0, |sum: u32, count| sum.saturating_add(*count))
    }

    /// The message for readers in the same process: its body is not compressed.
    ///
    /// # Errors
    /// A source's name cannot be written.
    pub fn encode_here(&self) -> Result<Encoded, serde_json::Error> {
        Ok(self.encode_head()?.plain_body(NDJSON, self.lines.clone()))
    }

    fn encode_head(&self) -> Result<Encoded, serde_json::Error> {
        Ok(Encoded::new(topology::raw(self.partition), format!("raw-{}", self.batch_id))
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, self.partition)
            .header(name::COUNT, self.count())
            .header(name::SOURCES, ascii_json(&self.sources)?)
            .header(name::INGESTED_AT, self.ingested_at.millis())
            .header(name::BATCH_ID, self.batch_id)
            .header_opt(name::REDRIVEN, (!self.redriven.is_empty()).then(|| sequences(&self.redriven)))
            .header_opt(name::TRACEPARENT, self.trace))
    }
}

impl Message for RawBatch {
    const STREAM: StreamName = StreamName::Raw;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        Ok(self.encode_head()?.body(NDJSON, self.lines.clone()))
    }

    /// Reads a batch; with a headers-only consumer `lines` is empty.
    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let sources: String = required(headers, name::SOURCES)?;
        let payload = if payload.is_empty() { payload } else { inflate(headers, payload)? };
        Ok(Self {
            batch_id: required(headers, name::BATCH_ID)?,
            partition: Partition::new(required(headers, name::PARTITION)?),
            ingested_at: Timestamp::saturating_from_millis(required(headers, name::INGESTED_AT)?),
            sources: serde_json::from_str(&sources)?,
            redriven: read_sequences(headers.get(name::REDRIVEN).unwrap_or_default())?,
            lines: payload,
            trace: optional(headers, name::TRACEPARENT).unwrap_or_default(),
        })
    }
}

impl Described for RawBatch {
    const CONTRACT: Contract = Contract {
        name: "RawBatch",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "A batch of accepted events",
        about: "Batches of accepted events, in the order of the log. Written by ingestion alone. Everything else can \
                be made from it.",
        reading: "Follow the log",
        writing: None,
        ids: &["raw-<batch id>"],
        own_headers: &[
            header::PARTITION,
            header::COUNT,
            Header::always(
                name::SOURCES,
                Form::Object,
                r#"Number of events by source: `{"my-shop":12,"Zo\u00eb":1}`."#,
            ),
            header::INGESTED_AT,
            Header::always(name::BATCH_ID, Form::Uuid, "The batch's id."),
            Header::sometimes(
                name::REDRIVEN,
                Form::Numbers,
                "Dead letters (their sequences in `DLQ`) whose events were sent again and are in the batch.",
            ),
            header::TRACEPARENT,
        ],
        body: BodyKind::Lines(SchemaGenerator::subschema_for::<Event>),
    };
}

/// Stream sequences as a header.
fn sequences(sequences: &[u64]) -> String {
    sequences.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

fn read_sequences(text: &str) -> Result<Vec<u64>, DecodeError> {
    let number = |part: &str| part.parse().map_err(|_| DecodeError::Header(name::REDRIVEN));
    text.split(',').filter(|part| !part.is_empty()).map(number).collect()
}
