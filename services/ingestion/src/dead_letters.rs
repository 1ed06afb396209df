//! Rejected events, kept with their reason.
//!
//! They are dear to their sender, not to us: what failed alike in one request
//! is one letter; each caller may have so many bytes of letters in a minute;
//! and a stream that is nearly full takes no more of them. What is not kept is
//! counted, and its sender told.

mod budgets;
pub(crate) mod counts;
mod letter;
mod plan;
pub(crate) mod rejections;
pub(crate) mod room;
mod tally;
mod writer;

pub(crate) use budgets::Budgets;
pub(crate) use letter::blank;
pub(crate) use room::LetterRoom;
pub(crate) use tally::RejectedTally;
pub(crate) use writer::DeadLetterWriter;
