//! The consumer loop, once.
//!
//! A replica owns units of its service's work. For each of them
//! [`supervise`] opens the unit, has it work, and does what follows from an
//! error: back off, halt, hand back, or end the service. A unit that reads a
//! stream works by [`consume`]: pull, decode, apply, checkpoint, acknowledge.
//! What a service adds are its hooks, [`Work`] and [`Steps`].
//!
//! The loop knows neither where messages come from nor who they are for: the
//! [`Source`] is a parameter, and the unit's `Work` names the consumer and the
//! store that it opens. A replay is the same loop over another source.

mod consume;
mod dead_letters;
mod failure;
mod log;
mod order;
mod pace;
mod supervise;
mod watch;

pub use consume::{Checkpoint, Read, Source, Steps, consume};
pub use dead_letters::DeadLetters;
pub use failure::{Disposition, Failure, StageFailure};
pub use log::{Ingested, LogPlace, LogStanding, OfLog, watch_log};
pub use order::{Gap, Place, follow_in_order, subscribe_in_order};
pub use pace::LoadPace;
pub use supervise::{Progressing, Work, supervise};
pub use watch::watch;
