//! For benches.

mod batch;
mod duplicates;

pub use batch::MeasuredPartition;
pub use duplicates::{MeasuredDuplicates, MeasuredSize};
