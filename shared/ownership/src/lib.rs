//! Which replica of a service does which part of its work.
//!
//! A service's work is cut into units: a partition of a stream, or a task that
//! is to run once. Each unit has one owner among the live replicas. A live
//! replica says so in the members' bucket. The owner of a unit stands in a
//! lease in the leases' bucket, and a lease changes hands by compare-and-set.
//! Every replica works out the same fair assignment from the same members
//! ([`assign`]). It gives back the units that are no longer its own, and takes
//! those that are.
//!
//! A lease decides who *should* work. It cannot stop a replica that was paused,
//! has lost its lease without knowing, and wakes up in the middle of a step.
//! The store does that. An owner claims its unit there and gets an epoch, and
//! the store refuses a write under an older epoch. So at most time is lost,
//! never the truth.

mod assign;
mod coordinator;
mod lease;
mod roster;

pub use assign::assign;
pub use coordinator::share;
pub use lease::{Lease, Owned, Unit};
