//! What is sealed, and what is to be.

use tidemill_domain::Timestamp;

use super::{BatchSpan, EventKey, Run, Segment};

/// What is sealed, as the store has it.
#[derive(Debug, Default)]
pub(crate) struct SealedKeys {
    /// Of a release before this one, oldest first.
    pub(crate) segments: Vec<Segment>,
    pub(crate) runs: Vec<Run>,
    /// The number of the next block of a run.
    pub(crate) next_block: u64,
}

impl SealedKeys {
    /// The last batch that is sealed; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.span.last);
        segments.chain(self.runs.iter().map(|run| run.span.last)).max().unwrap_or(0)
    }
}

/// Keys that are to be sealed.
pub(crate) struct SealableKeys {
    pub(crate) span: BatchSpan,
    /// Each with the log's clock when it was seen; a key may be there twice.
    pub(crate) keys: Vec<(EventKey, Timestamp)>,
}
