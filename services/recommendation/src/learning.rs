//! What is learnt from events: who did what with which products.

mod chunk;
mod event;
mod members;

pub use self::members::BUILT_IN;
pub(crate) use self::{
    chunk::{ChunkError, decode, encode},
    event::{LearntBatch, LearntEvent, LearntItem, LearntKind, VisitorId},
    members::{LearntAs, LearntMembers},
};
