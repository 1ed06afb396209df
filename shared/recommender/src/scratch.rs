//! What an answer is worked out in.

use std::{cell::RefCell, collections::HashMap};

use foldhash::fast::RandomState;

use crate::sessions::Moment;

/// Lists and tables of an answer. Each thread keeps its own from one to the next, so that they
/// are not allocated anew.
#[derive(Debug, Default)]
pub(crate) struct AnswerScratch {
    pub(crate) neighbours: Vec<Neighbour>,
    /// The places of sessions in these.
    pub(crate) places: HashMap<u32, usize, RandomState>,
    /// What neighbours say of items.
    pub(crate) said: HashMap<u32, Said, RandomState>,
    /// In how many sessions items are.
    pub(crate) counts: HashMap<u32, u32, RandomState>,
}

/// A session that has something in common with the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbour {
    pub(crate) slot: u32,
    pub(crate) similarity: f64,
    /// The number of the latest item of the query that it has.
    pub(crate) common: u32,
    /// When it last had to do with an item of the query.
    pub(crate) newest: Moment,
}

/// What the neighbours say of an item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) score: f64,
    pub(crate) neighbours: u32,
}

impl AnswerScratch {
    /// Works something out in that of this thread, in which everything is empty.
    pub(crate) fn with<A>(work: impl FnOnce(&mut Self) -> A) -> A {
        thread_local! {
            static SCRATCH: RefCell<AnswerScratch> = RefCell::default();
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.neighbours.clear();
            scratch.places.clear();
            scratch.said.clear();
            scratch.counts.clear();
            work(scratch)
        })
    }
}
