//! What becomes of a batch: a type for each of its states, so that no step can
//! be left out.
//!
//! A [`ParsedBatch`] holds the events of the lines. A [`MarkedBatch`] knows which
//! of them are duplicates, a [`SettledBatch`] what they do to orders, and a
//! [`JoinedBatch`] what the reference data has of them. An [`EncodedBatch`] is the message. No step does I/O.

mod encoded;
mod event;
mod join;
mod joined;
mod marked;
mod parsed;
mod place;
mod settled;
mod tally;
mod written;

pub(crate) use encoded::EncodedBatch;
pub(crate) use event::{BatchEvent, UnreadableLine};
pub(crate) use join::JoinedEvent;
pub(crate) use joined::JoinedBatch;
pub(crate) use marked::MarkedBatch;
pub(crate) use parsed::ParsedBatch;
pub(crate) use place::BatchPlace;
pub(crate) use settled::SettledBatch;
pub(crate) use tally::BatchTally;
