//! Alerts.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Partition, Timestamp};
use tidemill_totals::Value;

use super::Message;
use crate::{
    codec::{DecodeError, Encoded, HeaderSource, JSON, check_version, inflate, name},
    contract::{BodyKind, Contract, Described, header},
    topology::{self, StreamName},
    trace::TraceParent,
};

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
        body: BodyKind::Object(SchemaGenerator::subschema_for::<Self>),
    };
}
