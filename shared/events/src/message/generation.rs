//! Totals of a generation that is counted beside the live one.

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{GenerationName, Partition, Timestamp};

use super::{Message, MetricsUpdate};
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, JSON, check_version, inflate, name, required},
    contract::{BodyKind, Contract, Described, Form, Header, header},
    topology::{self, StreamName},
};

/// The window totals of one partition that changed in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationUpdate {
    /// Which generation.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9_]{1,32}$"))]
    pub generation: GenerationName,
    /// What it is counted by: told whenever a partition is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GenerationInputs")]
    pub inputs: Option<GenerationInputs>,
    /// Of the generation `batch`: the view that the totals are part of. Without it, an update
    /// of that generation says how far silver is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BatchView")]
    pub view: Option<BatchView>,
    /// The totals, with the versions of their definitions. Its books tell what became of events in the
    /// generation, and so which were late for it alone; those of the suite are the live aggregation's.
    pub update: MetricsUpdate,
}

/// A view of a metric that the lake has computed from silver. Its totals are those that the
/// stream has of the same events, by partition and up to the `raw_seq` of their message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchView {
    /// Views of a metric are numbered; one with a higher number is newer.
    pub number: u64,
    /// The metric's name.
    pub metric: String,
    /// The definition's version: its hash.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub version: String,
    /// In the last message of a view: what it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BatchViewEnd")]
    pub end: Option<BatchViewEnd>,
}

/// What a view covers, told once all its totals are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchViewEnd {
    /// When it was computed.
    pub computed_at: Timestamp,
    /// It has windows that start then or later.
    pub since: Timestamp,
    /// By partition, the `RAW` sequence that it reaches. Windows that it did not compute anew
    /// have no events behind what an earlier view had of them.
    pub reaches: Vec<PartitionReach>,
    /// The windows that it has computed anew, by their starts.
    pub computed: Vec<WindowSpan>,
    /// How many totals its messages have.
    pub cells: u64,
}

/// How far a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionReach {
    /// Which one.
    pub partition: Partition,
    /// The `RAW` sequence.
    pub raw_seq: u64,
}

/// Windows that start between two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowSpan {
    /// From then on.
    pub from: Timestamp,
    /// Before then.
    pub to: Timestamp,
}

/// What a generation is counted by, beside the log. Together they decide all its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationInputs {
    /// When it was begun.
    pub begun_at: Timestamp,
    /// The release that counts it.
    pub release: String,
    /// Batches of `RAW` up to this sequence are not counted; 0 where all are.
    pub behind: u64,
    /// What of the reference data an event is joined with.
    pub reference: ReferenceMode,
    /// The definitions of its metrics, as their files have them.
    pub definitions: Vec<DefinitionText>,
}

/// What of the reference data an event is joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum ReferenceMode {
    /// What holds at the event's time, as the live totals.
    AsOf,
    /// What holds at this moment, for events before it: corrections reach into the past.
    /// Rates of currencies are those of the event's time all the same.
    Now {
        /// The moment.
        at: Timestamp,
    },
}

impl ReferenceMode {
    /// Before this moment, what holds at it is taken.
    pub fn not_before(self) -> Option<Timestamp> {
        match self {
            Self::AsOf => None,
            Self::Now { at } => Some(at),
        }
    }
}

/// A file with the definition of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionText {
    /// Its name, for messages about it.
    pub file: String,
    /// YAML.
    pub text: String,
}

impl Message for GenerationUpdate {
    const STREAM: StreamName = StreamName::Generations;
    const VERSION: u32 = 1;

    fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let Self { generation, update, .. } = self;
        let MetricsUpdate { partition, raw_seq, raw_prev, part, as_of, .. } = update;
        // As that of live totals, it is of this attempt.
        let id = format!("generation-{generation}-{partition}-{raw_seq}-{part}-{}", as_of.millis());
        let id = if self.inputs.is_some() { format!("{id}-opened") } else { id };
        Ok(Encoded::new(topology::generations(generation, *partition), id)
            .header(name::VERSION, Self::VERSION)
            .header(name::PARTITION, partition)
            .header(name::RAW_SEQ, raw_seq)
            .header(name::RAW_PREV, raw_prev)
            .body(JSON, serde_json::to_vec(self)?.into()))
    }

    fn decode(headers: &impl HeaderSource, payload: Bytes) -> Result<Self, DecodeError> {
        check_version(headers, Self::VERSION)?;
        let mut update: Self = serde_json::from_slice(&inflate(headers, payload)?)?;
        update.update.raw_prev = required(headers, name::RAW_PREV)?;
        Ok(update)
    }
}

impl Described for GenerationUpdate {
    const CONTRACT: Contract = Contract {
        name: "GenerationUpdate",
        stream: Self::STREAM,
        version: Self::VERSION,
        title: "The totals of a generation that changed",
        about: "Window totals of a generation that is counted from the log beside the live one, cumulative up to \
                `raw_seq`. Written by a replay, and read by reporting alone: nothing else follows from it. The generation \
                `batch` is the lake's: what it has computed from silver.",
        reading: "Follow the totals of generations",
        writing: None,
        ids: &[
            "generation-<generation>-<partition>-<RAW sequence>-<part>-<milliseconds>",
            "generation-<generation>-<partition>-<RAW sequence>-<part>-<milliseconds>-opened",
        ],
        own_headers: &[
            header::PARTITION,
            Header::always(name::RAW_SEQ, Form::Number, "Sequence in `RAW` that the totals reach."),
            Header::always(
                name::RAW_PREV,
                Form::Number,
                "Sequence in `RAW` that the partition's update before it reached.",
            ),
        ],
        body: BodyKind::Object(SchemaGenerator::subschema_for::<Self>),
    };
}
