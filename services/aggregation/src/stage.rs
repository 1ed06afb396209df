//! The hooks of the stage, for a partition: its batches are folded in order,
//! and what changed goes out while the fold goes on.

mod consumer;
mod context;
pub(crate) mod flush;
pub(crate) mod owner;
mod partition;
pub(crate) mod sink;
mod task;

#[cfg(test)]
mod model;

pub(crate) use consumer::run;
pub(crate) use context::ConsumerContext;
