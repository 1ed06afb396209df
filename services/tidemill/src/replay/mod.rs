//! A replay: the log counted once more, beside the live services.
//!
//! It is enrichment and aggregation in one process, by the same code, with stores of their
//! own ([`partition`]). Its totals go to reporting as those of a generation, and nowhere
//! else. A generation is its stores: whoever runs it goes on where they are, and what it is
//! to do stands in them ([`run`]).

mod backtest;
mod bronze;
mod compared_alerts;
mod counted;
mod error;
mod in_order;
mod partition;
mod phase;
mod place;
mod plan;
mod planned;
mod rate;
mod rehearsal;
mod run;
mod settings;
mod source;

pub use backtest::{Backtest, BacktestFound, BacktestTold};
pub use bronze::LakePatience;
pub use compared_alerts::{AlertCounts, ComparedAlerts};
pub use error::ReplayError;
pub use phase::{ReplayEnd, ReplayTold, ReplayUntil};
pub use plan::{PlannedBronze, ReplayPlan, ReplayRequest, ReplayStart};
pub use planned::{PlannedChange, PlannedMetric, PlannedRule};
pub use run::{Replay, generation};
pub use settings::ReplaySettings;
pub(crate) use settings::stores_at;
