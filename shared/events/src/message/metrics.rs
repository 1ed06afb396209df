//! Window totals and books.

mod cell;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Partition, Timestamp};

pub use cell::{CellGroup, CellMetric, CellUpdate};

use super::Message;
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, JSON, check_version, inflate, name, optional},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    topology::{self, StreamName},
    trace::TraceParent,
};

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
    /// What became of events that were in dead letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redriven: Vec<RedrivenOutcomes>,
    /// Which batches of the partition the versions of metrics have not counted: told
    /// when a partition is taken over, and from time to time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counting: Vec<VersionCounting>,
    /// A sampled event behind the update.
    pub trace: Option<TraceParent>,
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
    /// Of the duplicates, those by their business key: another id or source has
    /// told of the same order before.
    #[serde(default)]
    pub repeated: u64,
}

/// Outcomes of the events in one batch that one request sent again, from a dead
/// letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedrivenOutcomes {
    /// The request's id.
    pub redrive: String,
    /// The batch's `RAW` sequence.
    pub raw_seq: u64,
    /// Counted in the metrics.
    pub counted: u64,
    /// Of a time of which nothing is kept any more.
    pub late: u64,
    /// Counted before.
    pub duplicate: u64,
}

/// What a version of a metric has counted of a partition: all batches but those of
/// these spans. A definition that is new counts from then on, and one that was
/// changed and changed back has not counted what came in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionCounting {
    /// The metric's name.
    pub metric: String,
    /// The definition's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub version: String,
    /// In the order of the log.
    pub uncounted: Vec<UncountedSpan>,
}

/// Batches of a partition that a version of a metric has not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UncountedSpan {
    /// The last batch before them; none where they begin with the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LogPosition")]
    pub after: Option<LogPosition>,
    /// The last of them; none while the version is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LogPosition")]
    pub up_to: Option<LogPosition>,
}

/// A batch of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogPosition {
    /// Its `RAW` sequence.
    pub raw_seq: u64,
    /// When ingestion took it in.
    pub ingested_at: Timestamp,
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
        body: BodyKind::Object(SchemaGenerator::subschema_for::<Self>),
    };
}
