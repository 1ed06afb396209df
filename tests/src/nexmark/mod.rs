//! Nexmark on the suite's own definitions: events of the crate `nexmark`, a metric for
//! each query, what the suite answers, and the same worked out of the events.
//!
//! The suite answers totals and no single rows, so a query that maps or filters bids
//! (q1, q2, q13) is asked by auction, or by auction and bidder, in windows of ten
//! seconds. docs/performance.md says where a query differs from Nexmark's SQL.

mod answers;
mod events;
mod files;
mod query;
mod truth;

use std::collections::BTreeMap;

use tidemill_domain::Amount;

pub use self::{
    answers::rows,
    events::NexmarkEvents,
    files::{NexmarkFiles, write_files},
    query::NexmarkQuery,
    truth::true_rows,
};

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NexmarkRow {
    /// The window's first millisecond.
    pub start: i64,
    /// The first one after it.
    pub end: i64,
    /// Values by dimension.
    pub dimensions: BTreeMap<String, String>,
    /// Values by measure.
    pub values: BTreeMap<String, Figure>,
}

/// What a measure comes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// A count.
    Count(u64),
    /// An exact amount.
    Amount(Amount),
}
