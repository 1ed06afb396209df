//! Totals of a generation that is counted beside the live one.

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{GenerationName, Timestamp};

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
    /// The totals, with the versions of their definitions. There are no books in it: those
    /// are of the log, and the live aggregation keeps them.
    pub update: MetricsUpdate,
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
                `raw_seq`. Written by a replay alone, and read by reporting alone: nothing else follows from it.",
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
