//! A replay: the log counted once more, beside the live services.
//!
//! It is enrichment and aggregation in one process, by the same code, with stores of their
//! own ([`partition`]). Its totals go to reporting as those of a generation, and nowhere
//! else. A generation is its stores: whoever runs it goes on where they are, and what it is
//! to do stands in them ([`run`]).

mod error;
mod partition;
mod phase;
mod plan;
mod rate;
mod run;
mod settings;

pub use error::ReplayError;
pub use phase::{ReplayEnd, ReplayTold, ReplayUntil};
pub use plan::{PlannedChange, PlannedMetric, ReplayPlan, ReplayRequest, ReplayStart};
pub use run::{Replay, generation};
pub use settings::ReplaySettings;
pub(crate) use settings::stores_at;
