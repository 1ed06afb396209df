//! Evaluates rules: a function of what was read and of what is in memory,
//! without input or output.

mod amounts;
mod counters;
pub(crate) mod event;
pub(crate) mod metric;
mod quality;
mod series;
