//! From the bytes of a request to a verdict on each of its events.
//!
//! An event goes through one type per step: an `Envelope` of any format, a
//! `NormalisedEvent` with every attribute in its type, a `ValidEvent` whose
//! data is as its schema has it, and a line of the log. Most events need none of
//! these: a `Tree` of the text shows that all of it is as the log has it, and the
//! text is the line (`verbatim`).

pub(crate) mod backfill;
mod binary;
mod claims;
mod client_address;
mod envelope;
pub(crate) mod formats;
mod frame;
pub(crate) mod hints;
pub(crate) mod inflate;
mod normalise;
pub(crate) mod parse;
pub(crate) mod route;
pub(crate) mod schema;
mod segment;
mod sender_clock;
pub(crate) mod take_in;
pub(crate) mod tree;
mod undecided;
pub(crate) mod validate;
mod verbatim;
mod written_key;
