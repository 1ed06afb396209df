//! What counts as a duplicate, and the memory that decides it.
//!
//! A duplicate is the same `source` and `id` earlier in the same partition of
//! the log, within the horizon; or, where the event's type has a business key,
//! that key there under another `source` or `id`: then the event is a
//! repetition. Time is the log's clock: the latest ingestion time of the batches
//! up to here. So the marks are a function of the log alone, and the memory
//! after a batch can be made again from the batches behind it, however often a
//! process starts.

mod key;
mod marks;
mod memory;

pub(crate) use key::{EventKey, EventKeys};
pub(crate) use marks::{Mark, Marks};
pub(crate) use memory::{Duplicates, MemoryLimits, RememberedBatch};
