//! The hooks of the consumer loop. Every replica learns all partitions; the owner of a
//! partition keeps it, writes the pages of its index, and publishes its profiles.

mod batch;
mod beside;
mod keeper;
mod learner;
mod pages;
mod profiles;

pub(crate) use self::{keeper::keep, learner::learn, pages::write_pages, profiles::publish_profiles};
