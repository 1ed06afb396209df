//! The hooks of the consumer loop. Every replica learns all partitions; the owner of a
//! partition keeps it, and writes the pages of its index.

mod batch;
mod keeper;
mod learner;
mod pages;

pub(crate) use self::{keeper::keep, learner::learn, pages::write_pages};
