//! Events that came too late.

use bytes::Bytes;
use schemars::SchemaGenerator;
use tidemill_domain::{Partition, Timestamp};

use super::Message;
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, NDJSON, check_version, inflate, name, required},
    contract::{BodyKind, Contract, Described, header},
    event::EnrichedEvent,
    topology::{self, StreamName},
};

/// The events of one enriched batch that came past the allowed lateness: in no
/// total, and kept aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateBatch {
    /// The partition that all its events belong to.
    pub partition: Partition,
    /// The stream sequence in `RAW` of the batch that they came in.
    pub raw_seq: u64,
    /// When ingestion took them in.
    pub ingested_at: Timestamp,
    /// The number of events.
    pub count: u32,
    /// The events as they were enriched, one a line.
    pub lines: Bytes,
}

impl Message for LateBatch {
    const STREAM: StreamName = StreamName::Late;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        Ok(Encoded::new(topology::late(self.partition), format!("late-{}", self.raw_seq))
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, self.partition)
            .header(name::COUNT, self.count)
            .header(name::RAW_SEQ, self.raw_seq)
            .header(name::INGESTED_AT, self.ingested_at.millis())
            .body(NDJSON, self.lines.clone()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        Ok(Self {
            partition: Partition::new(required(headers, name::PARTITION)?),
            raw_seq: required(headers, name::RAW_SEQ)?,
            ingested_at: Timestamp::saturating_from_millis(required(headers, name::INGESTED_AT)?),
            count: required(headers, name::COUNT)?,
            lines: inflate(headers, payload)?,
        })
    }
}

impl Described for LateBatch {
    const CONTRACT: Contract = Contract {
        name: "LateBatch",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "The late events of a batch",
        about: "Events past the allowed lateness, in no total. Written by aggregation alone; the same `Tm-Raw-Seq` may \
                come twice.",
        reading: "Follow the events that came too late to be counted",
        writing: None,
        ids: &["late-<RAW sequence>"],
        own_headers: &[header::PARTITION, header::COUNT, header::RAW_SEQ, header::INGESTED_AT],
        body: BodyKind::Lines(SchemaGenerator::subschema_for::<EnrichedEvent>),
    };
}
