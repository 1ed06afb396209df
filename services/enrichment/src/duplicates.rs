//! What counts as a duplicate, and the memory that decides it.
//!
//! A duplicate is the same `source` and `id` earlier in the same partition of
//! the log, within the horizon; or, where the event's type has a business key,
//! that key there under another `source` or `id`: then the event is a
//! repetition. Time is the log's clock: the latest ingestion time of the batches
//! up to here. So the marks are a function of the log alone, and the memory
//! after a batch can be made again from the batches behind it, however often a
//! process starts.
//!
//! What was seen last is in a table in memory. Older batches are sealed: their keys
//! are in runs, in order, whose blocks lie in the store; a filter in memory tells which
//! keys a run may hold, and the block that it does. Runs are merged, so that they stay
//! few. Where a key is found changes nothing about the marks.

mod block;
mod doubt;
mod entry;
mod filter;
mod key;
mod lane;
mod limits;
mod marks;
mod memory;
mod remembered;
mod run;
mod runs;
mod sealed;
mod segment;
mod sightings;
mod span;

pub(crate) use block::KeyBlock;
pub(crate) use doubt::{BlockName, Doubt};
pub(crate) use filter::{FilterWidth, KeyFilter};
pub(crate) use key::{EventKey, EventKeys};
pub(crate) use lane::Lane;
pub(crate) use limits::{MemoryLimits, MemorySize};
pub(crate) use marks::{Mark, Marks};
pub(crate) use memory::Duplicates;
pub(crate) use remembered::RememberedBatch;
pub(crate) use run::{Run, RunBlocks, RunChange, RunEntries, SealedRun};
pub(crate) use runs::Merge;
pub(crate) use sealed::{SealableKeys, SealedKeys};
#[cfg(test)]
pub(crate) use segment::earlier;
pub(crate) use segment::{Segment, SegmentBlock};
pub(crate) use sightings::{Block, Sightings};
pub(crate) use span::BatchSpan;
