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
//! What was seen last is in a table in memory. Older batches are sealed: a filter
//! in memory tells which keys they may hold, and their blocks in the store, which
//! they do. Where a key is found changes nothing about the marks.

mod filter;
mod key;
mod marks;
mod memory;
mod segment;

pub(crate) use filter::KeyFilter;
pub(crate) use key::{EventKey, EventKeys};
pub(crate) use marks::{Mark, Marks};
pub(crate) use memory::{Duplicates, MemoryLimits, MemorySize, RememberedBatch};
pub(crate) use segment::{Block, BlockName, Doubt, SealableKeys, SealedSegment, Segment, SegmentSpan, Sightings};
