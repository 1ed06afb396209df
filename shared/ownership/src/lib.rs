//! Which replica of a service does which part of its work.
//!
//! A service's work is cut into units: a partition of a stream, or a task that
//! is to run once. Each unit has one owner among the live replicas. Who is
//! alive says so in the members' bucket; who owns a unit stands as a lease in
//! the leases' bucket, and changes hands by compare-and-set. Every replica works
//! out the same fair assignment from the same members ([`assign`]), gives back
//! what is no longer its own and takes what is.
//!
//! A lease decides who *should* work. It cannot stop a replica that was
//! paused, has lost its lease without knowing, and wakes up in the middle of a
//! step: that is the store's business. An owner claims its unit there and gets
//! an epoch, and a write under an older epoch is refused. So at most time is
//! lost, never the truth.

mod assign;
mod coordinator;
mod lease;
mod roster;

pub use assign::assign;
pub use coordinator::share;
pub use lease::{Lease, Owned, Unit};
