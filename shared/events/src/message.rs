//! The messages of the suite, each a type with its subject, headers and
//! version. `encode` and `decode` are each other's inverse.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Partition, Timestamp};
use tidemill_totals::{Totals, Value};

use crate::{
    codec::{
        DecodeError, Encoded, HeaderSource, JSON, NDJSON, ascii_json, check_version, inflate, name, optional, required,
    },
    contract::{Body, Contract, Described, Form, Header, header},
    event::{EnrichedEvent, Event},
    topology::{self, StreamName},
    trace::TraceParent,
};

/// A message: it knows its stream and how it is written.
pub trait Message: Sized {
    /// The stream it goes to.
    const STREAM: StreamName;
    /// The version of its format; a reader refuses others.
    const VERSION: u32;

    /// Subject, id, headers and body.
    fn encode(&self) -> Result<Encoded, serde_json::Error>;

    /// Reads what [`encode`](Self::encode) wrote.
    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError>;
}

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
}

impl Message for RawBatch {
    const STREAM: StreamName = StreamName::Raw;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        Ok(Encoded::new(topology::raw(self.partition), format!("raw-{}", self.batch_id))
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, self.partition)
            .header(name::COUNT, self.count())
            .header(name::SOURCES, ascii_json(&self.sources)?)
            .header(name::INGESTED_AT, self.ingested_at.millis())
            .header(name::BATCH_ID, self.batch_id)
            .header_opt(name::REDRIVEN, (!self.redriven.is_empty()).then(|| sequences(&self.redriven)))
            .header_opt(name::TRACEPARENT, self.trace)
            .body(NDJSON, self.lines.clone()))
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
        body: Body::Lines(SchemaGenerator::subschema_for::<Event>),
    };
}

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
            .header(name::RAW_SEQ, self.raw_seq)
            .header(name::RAW_PREV, self.raw_prev)
            .header_opt(name::REMADE, self.remade)
            .header(name::INGESTED_AT, self.ingested_at.millis())
            .header(name::REFDATA, self.refdata)
            .header_opt(name::TRACEPARENT, self.trace)
            .body(NDJSON, self.lines.clone()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        Ok(Self {
            partition: Partition::new(required(headers, name::PARTITION)?),
            raw_seq: required(headers, name::RAW_SEQ)?,
            raw_prev: required(headers, name::RAW_PREV)?,
            remade: optional(headers, name::REMADE)?,
            ingested_at: Timestamp::saturating_from_millis(required(headers, name::INGESTED_AT)?),
            refdata: required(headers, name::REFDATA)?,
            count: required(headers, name::COUNT)?,
            lines: inflate(headers, payload)?,
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
        body: Body::Lines(SchemaGenerator::subschema_for::<EnrichedEvent>),
    };
}

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
        body: Body::Lines(SchemaGenerator::subschema_for::<EnrichedEvent>),
    };
}

/// The window totals of one partition that changed, each cumulative up to
/// `raw_seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsUpdate {
    /// The partition that the totals are of.
    pub partition: Partition,
    /// The `RAW` sequence that they reach.
    pub raw_seq: u64,
    /// The one that the partition's update before it reached: all parts of
    /// this one tell of what changed behind there. 0, from which nothing
    /// follows, where a release before it was told has written the message.
    #[serde(skip)]
    pub raw_prev: u64,
    /// One flush may need several messages; this is the how-manieth.
    pub part: u32,
    /// When aggregation made it.
    pub as_of: Timestamp,
    /// Event time up to which the partition's live sources are known; none
    /// while it has seen no event, or in a part that more parts follow.
    pub watermark: Option<Timestamp>,
    /// Whether every source of the partition has gone idle, so that it holds
    /// no window open.
    pub idle: bool,
    /// The totals that changed.
    pub cells: Vec<CellUpdate>,
    /// The outcomes that changed.
    pub books: Vec<SourceBooks>,
    /// A sampled event behind the update.
    pub trace: Option<TraceParent>,
}

/// The totals of one window of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellUpdate {
    /// The metric's name.
    pub metric: String,
    /// The definition's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub version: String,
    /// First instant of the window.
    pub start: Timestamp,
    /// First instant after it; a session's grows.
    pub end: Timestamp,
    /// Values by dimension.
    pub dimensions: BTreeMap<String, String>,
    /// States by measure, in the order of the measures' names.
    pub totals: Totals,
    /// A sampled event that is counted in it, for the trace behind the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TraceParent")]
    pub exemplar: Option<TraceParent>,
    /// The window is no more: a session that became part of another. From here
    /// on it counts as nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retracted: bool,
}

/// Outcomes of one source's events in one hour of ingestion, cumulative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceBooks {
    /// CloudEvents `source`.
    pub source: String,
    /// The hour (start) in which ingestion took them in.
    pub hour: Timestamp,
    /// Counted in the metrics.
    pub counted: u64,
    /// Past the allowed lateness.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
}

impl Message for MetricsUpdate {
    const STREAM: StreamName = StreamName::Metrics;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        // The name is of this attempt: after a crash the same position may be
        // published with its totals cut into other parts, and none of them
        // must be taken for a copy. A true copy is harmless, since totals are
        // cumulative.
        let id = format!("metrics-{}-{}-{}-{}", self.partition, self.raw_seq, self.part, self.as_of.millis());
        Ok(Encoded::new(topology::metrics(self.partition), id)
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, self.partition)
            .header(name::RAW_SEQ, self.raw_seq)
            .header(name::RAW_PREV, self.raw_prev)
            .header_opt(name::TRACEPARENT, self.trace)
            .body(JSON, serde_json::to_vec(self)?.into()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let raw_prev = optional(headers, name::RAW_PREV)?.unwrap_or_default();
        Ok(Self { raw_prev, ..serde_json::from_slice(&inflate(headers, payload)?)? })
    }
}

impl Described for MetricsUpdate {
    const CONTRACT: Contract = Contract {
        name: "MetricsUpdate",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "The totals and books that changed",
        about: "Window totals and books that changed, cumulative up to `raw_seq`. Written by aggregation alone. Of one \
                cell keep, for each partition, the totals with the highest `raw_seq`, and add the partitions up.",
        reading: "Follow window totals",
        writing: None,
        ids: &["metrics-<partition>-<RAW sequence>-<part>-<milliseconds>"],
        own_headers: &[
            header::PARTITION,
            Header::always(name::RAW_SEQ, Form::Number, "Sequence in `RAW` that the totals reach."),
            Header::always(
                name::RAW_PREV,
                Form::Number,
                "Sequence in `RAW` that the partition's update before it reached.",
            ),
            header::TRACEPARENT,
        ],
        body: Body::Object(SchemaGenerator::subschema_for::<Self>),
    };
}

/// One step in the life of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertTransition {
    /// The alert's id: the same rule, version and occasion give the same id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: uuid::Uuid,
    /// The rule's name.
    pub rule: String,
    /// The rule's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub rule_version: String,
    /// As the rule has it.
    #[schemars(extend("enum" = ["info", "warning", "critical"]))]
    pub severity: String,
    /// The state it enters.
    pub state: AlertState,
    /// One line.
    pub title: String,
    /// What happened, in words.
    pub summary: String,
    /// What it is about.
    pub dimensions: BTreeMap<String, String>,
    /// The figures that made it fire: counts and estimates are numbers, amounts
    /// are text.
    pub values: BTreeMap<String, Value>,
    /// Event time of the occasion (for a window, its start).
    pub event_time: Timestamp,
    /// When this transition happened.
    pub at: Timestamp,
    /// The partition of the position in the log that it follows from.
    pub partition: Partition,
    /// The `RAW` sequence of the position in the log that it follows from.
    pub raw_seq: u64,
    /// The trace of the event behind it.
    pub trace: Option<TraceParent>,
}

/// The states of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The rule's condition holds.
    Firing,
    /// The notification was accepted.
    Notified,
}

impl AlertState {
    /// The state's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Notified => "notified",
        }
    }
}

impl Message for AlertTransition {
    const STREAM: StreamName = StreamName::Alerts;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        Ok(Encoded::new(topology::alerts(&self.rule), format!("alert-{}-{}", self.id, self.state.as_str()))
            .header(name::VERSION, Self::VERSION)
            .header_opt(name::TRACEPARENT, self.trace)
            .body(JSON, serde_json::to_vec(self)?.into()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        Ok(serde_json::from_slice(&inflate(headers, payload)?)?)
    }
}

impl Described for AlertTransition {
    const CONTRACT: Contract = Contract {
        name: "AlertTransition",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "One transition of an alert",
        about: "Transitions of alerts. Written by alert alone.",
        reading: "Follow alerts",
        writing: None,
        ids: &["alert-<id>-<state>"],
        own_headers: &[header::TRACEPARENT],
        body: Body::Object(SchemaGenerator::subschema_for::<Self>),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace() -> Option<TraceParent> {
        TraceParent::new(7, 9, true)
    }

    proptest! {
        #[test]
        fn a_raw_batch_comes_back(
            lines in "[a-z\n]{0,9000}", source in any::<String>(), redriven in proptest::collection::vec(any::<u64>(), 0..4),
        ) {
            let batch = RawBatch {
                batch_id: uuid::Uuid::from_u128(5), partition: Partition::new(3), ingested_at: Timestamp::EPOCH,
                sources: BTreeMap::from([(source, 2)]), redriven, lines: lines.into(), trace: None,
            };
            let encoded = batch.encode().expect("encodes");
            prop_assert_eq!(RawBatch::CONTRACT.breach(&encoded), None);
            prop_assert_eq!(RawBatch::decode(&encoded, encoded.payload.clone()).expect("decodes"), batch);
        }
    }

    #[test]
    fn an_enriched_batch_comes_back() {
        let batch = EnrichedBatch {
            partition: Partition::new(1),
            raw_seq: 9,
            raw_prev: 4,
            remade: None,
            ingested_at: Timestamp::saturating_from_millis(1234),
            refdata: 2,
            count: 1,
            lines: "x".repeat(5000).into(),
            trace: trace(),
        };
        let again = EnrichedBatch { remade: Some(3), ..batch.clone() };
        for (batch, id) in [(batch, "enriched-9"), (again, "enriched-9-again-3")] {
            let encoded = batch.encode().expect("encodes");
            assert!(encoded.payload.len() < 1000, "repetitive text is compressed");
            assert_eq!(encoded.message_id, id);
            assert_eq!(EnrichedBatch::decode(&encoded, encoded.payload.clone()).expect("decodes"), batch);
        }
    }

    /// Replicas of two releases read each other's messages during an upgrade.
    #[test]
    fn an_update_comes_back_also_from_a_release_that_did_not_tell_its_predecessor() {
        let update = MetricsUpdate {
            partition: Partition::new(1),
            raw_seq: 9,
            raw_prev: 4,
            part: 2,
            as_of: Timestamp::EPOCH,
            watermark: None,
            idle: true,
            cells: Vec::new(),
            books: Vec::new(),
            trace: trace(),
        };
        let mut encoded = update.encode().expect("encodes");
        assert_eq!(encoded.get("Tm-Raw-Prev"), Some("4"));
        assert!(!String::from_utf8_lossy(&encoded.payload).contains("raw_prev"), "older readers know no such member");
        assert_eq!(MetricsUpdate::decode(&encoded, encoded.payload.clone()).expect("decodes"), update);
        encoded.headers.retain(|(name, _)| *name != "Tm-Raw-Prev");
        let old = MetricsUpdate::decode(&encoded, encoded.payload.clone()).expect("decodes");
        assert_eq!(old, MetricsUpdate { raw_prev: 0, ..update });
    }

    #[test]
    fn another_version_is_refused() {
        let mut encoded = RawBatch {
            batch_id: uuid::Uuid::nil(),
            partition: Partition::new(0),
            ingested_at: Timestamp::EPOCH,
            sources: BTreeMap::new(),
            redriven: Vec::new(),
            lines: Bytes::new(),
            trace: None,
        }
        .encode()
        .expect("encodes");
        encoded.headers[0].1 = "2".into();
        assert!(matches!(RawBatch::decode(&encoded, Bytes::new()), Err(DecodeError::Version(v)) if v == "2"));
    }
}
