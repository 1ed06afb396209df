//! Batch views of the lake: their totals land in the read model, are compared with the stream's,
//! and answer with them.

mod drift;
mod folded;
mod settle;
mod source;

#[cfg(test)]
pub(crate) use drift::DriftCell;
pub(crate) use drift::{CellDrift, CellInPartition, DriftAnswer, DriftMetric, less, told};
pub(crate) use folded::{BatchFold, fold_of};
pub(crate) use settle::{SettledWindow, StoredSides, StreamCounted, settle, sweep};
pub(crate) use source::{AnswerParts, AnswerSource, LandedView};
