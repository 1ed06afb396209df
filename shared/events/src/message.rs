//! The messages of the suite, each a type with its subject, headers and
//! version. `encode` and `decode` are each other's inverse.

mod alert;
mod enriched;
mod generation;
mod late;
mod metrics;
mod profile;
mod raw;
mod types;

use bytes::Bytes;

use crate::{
    codec::{DecodeError, Encoded, HeaderSource},
    topology::StreamName,
};

pub use alert::{AlertState, AlertTransition};
pub use enriched::EnrichedBatch;
pub use generation::{
    BatchView, BatchViewEnd, DefinitionText, GenerationInputs, GenerationUpdate, PartitionReach, ReferenceMode,
    WindowSpan,
};
pub use late::LateBatch;
pub use metrics::{
    CellGroup, CellMetric, CellUpdate, LogPosition, MetricsUpdate, RedrivenOutcomes, SourceBooks, UncountedSpan,
    VersionCounting,
};
pub use profile::{ProfileItem, ProfileName, ProfileUpdate, PublishedProfile};
pub use raw::RawBatch;
pub use types::EventTypes;

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

#[cfg(test)]
mod tests;
