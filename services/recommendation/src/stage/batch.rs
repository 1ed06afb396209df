//! A batch, as it is learnt.

use tidemill_events::{EnrichedBatch, EnrichedEventRef, event};

use crate::{
    learning::{LearntAs, LearntBatch, LearntMembers},
    telemetry::ReadCounts,
};

/// What a batch is learnt as, and what became of its events.
pub(super) fn read(members: &LearntMembers, batch: &EnrichedBatch) -> (LearntBatch, ReadCounts) {
    let mut counts = ReadCounts::default();
    let mut events = Vec::new();
    for line in event::lines(&batch.lines) {
        let read = EnrichedEventRef::read(line).map(|event| members.read(&event));
        match read {
            Ok(LearntAs::Learnt(event)) => {
                counts.learnt += 1;
                events.push(event);
            }
            Ok(LearntAs::Duplicate) => counts.duplicate += 1,
            Ok(LearntAs::Unconcerned) => counts.unconcerned += 1,
            Err(_) => counts.unreadable += 1,
        }
    }
    (LearntBatch { raw_seq: batch.raw_seq, ingested_at: batch.ingested_at, events }, counts)
}
