//! A batch as it goes into `ENRICHED`.

use tidemill_events::EnrichedBatch;

use super::BatchTally;

/// The message, and what became of its events.
pub(crate) struct EncodedBatch {
    pub(crate) message: EnrichedBatch,
    pub(crate) tally: BatchTally,
}
