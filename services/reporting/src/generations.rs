//! Generations of totals that are counted beside the live one.
//!
//! Their totals stand in the read model as further versions of metrics, `HASH@NAME`. So
//! they are rolled up, asked and compared as all others are, and none of them is served
//! until a pointer says so.

mod compare;
mod folded;
mod lineage;
mod order;

pub(crate) use compare::{ComparedCells, Comparison, DifferenceReason, LateDifference, SideCell, WindowSides};
pub(crate) use folded::GenerationsFold;
pub(crate) use order::{GenerationAct, GenerationOrder, GenerationRequest, OrderedChange, ServedChange};
