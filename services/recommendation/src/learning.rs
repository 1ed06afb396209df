//! What is learnt from events: who did what with which products.

mod chunk;
mod erased;
mod event;
mod members;

pub use self::members::BUILT_IN;
pub(crate) use self::{
    chunk::{ChunkError, decode, encode},
    erased::{ErasedVisitors, VisitTie},
    event::{LearntBatch, LearntEvent, LearntItem, LearntKind, VisitorId},
    members::{LearntAs, LearntMembers, MAX_VISITOR_BYTES},
};
