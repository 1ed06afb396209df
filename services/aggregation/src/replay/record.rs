//! A generation, as its store has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::{GenerationName, Partition, Timestamp};
use tidemill_events::{DefinitionText, GenerationInputs};

/// A generation, as its store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationRecord {
    /// Its name.
    pub name: GenerationName,
    /// What it is counted by. It never changes.
    #[serde(skip)]
    pub inputs: GenerationInputs,
    /// The rules that are to be tried out with it, as their files have them; none of a
    /// generation that an earlier release has begun.
    #[serde(skip)]
    pub rules: Vec<DefinitionText>,
    /// What its replay is to do.
    pub wanted: WantedState,
    /// Events a second that it counts at most; 0 for any number.
    pub rate: u64,
    /// How far it is.
    pub progress: GenerationProgress,
}

/// What a replay is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedState {
    /// To count.
    Running,
    /// To stand where it is.
    Paused,
    /// To end, for good.
    Cancelled,
}

impl WantedState {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Cancelled].into_iter().find(|state| state.as_str() == text)
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationProgress {
    /// When this was written: every second while the replay runs.
    pub at: Option<Timestamp>,
    /// The last batch of each partition that is in the store.
    pub reached: BTreeMap<Partition, u64>,
    /// By partition, up to which sequence of `RAW` nothing of it is missing. None of one that an earlier release has
    /// counted last.
    #[serde(default)]
    pub whole_to: BTreeMap<Partition, u64>,
    /// Up to this sequence of `RAW` nothing is missing of any: what the log forgets before it is
    /// not missed.
    pub read_to: u64,
    /// Events that this run of the replay has counted, and in how many milliseconds.
    pub events: u64,
    /// See `events`.
    pub millis: u64,
    /// Whether it has once been at the end of the log.
    pub has_caught_up: bool,
    /// Whether the process that wrote this has ended, and has said so. One that was killed has not.
    #[serde(default)]
    pub has_ended: bool,
}
