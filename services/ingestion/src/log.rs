//! Writing to the log: the accepted events of a request become parts, one for
//! each partition, and the parts of many requests a batch.

mod batcher;
mod part;
mod writer;

pub(crate) use part::Parts;
pub(crate) use writer::LogWriter;
