//! What becomes of an event: counted, late, or a duplicate. A function of the log
//! and of these rules alone, so that everybody who asks comes to the same: the
//! totals of the stream, and the tables of the lake.

mod clocks;
mod left_out;
mod outcome;
mod rules;

pub use clocks::{ClockChanges, Clocks, StoredClock, StoredClocks};
pub use left_out::{EventName, LeftOut, kept_millis, key_of};
pub use outcome::{MetBatch, MetEvent, Outcome, meet, perhaps_left_out};
pub use rules::EventTimeRules;
