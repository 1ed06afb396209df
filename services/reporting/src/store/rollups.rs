//! Cells rolled up: added up over windows and partitions, by hour and by day.
//!
//! A roll-up is a copy that can always be made again. A fold only marks the
//! hours that it touches ([`marks`]). The owner of the metrics' stream makes the
//! roll-ups of marked hours and days later ([`make`]), and marks what was stored
//! before there were any ([`frontier`]). A question reads roll-ups where they
//! are right, and cells everywhere else ([`read`]); [`plan`] says where that is.

mod frontier;
mod level;
mod make;
mod marks;
mod plan;
mod read;
mod standing;
mod steps;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use frontier::RollupProgress;
pub(super) use marks::{go_back, mark_fold, note_fold};
pub(crate) use plan::MergeScope;
