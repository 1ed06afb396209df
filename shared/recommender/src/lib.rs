//! What a visitor wants next, learnt from interactions as they come.
//!
//! An [`Index`] learns one [`Interaction`] at a time: a visitor, an item, and
//! what was done with it. It keeps the latest sessions, and answers from those
//! that are nearest to the session to be continued ([`Index::recommend`]).
//!
//! **What an index is a function of.** Of the interactions of each partition in
//! the order of its log, and of the settings. How partitions were interleaved
//! makes no difference, nor who built it, nor whether it was restored on the
//! way: [`Index::snapshot`] is equal to the last byte, and so are the answers.
//! After [`Index::forget`] it equals an index that passed the visitor's
//! interactions over ([`Index::pass`]).
//!
//! Nothing here does I/O or looks at a clock.

mod answer;
mod arithmetic;
mod baskets;
mod charts;
pub mod evaluation;
mod forget;
mod index;
mod interaction;
mod items;
mod learn;
mod log_window;
mod neighbours;
mod page;
mod ranking;
mod recommend;
mod scratch;
mod sessions;
mod settings;
mod similar;
mod snapshot;
mod visitor;

#[cfg(test)]
mod tests;

pub use answer::{BoughtTogether, Charted, Continuation, Query, Recommendation};
pub use charts::{ChartPair, ChartParts, ChartPlace};
pub use index::Index;
pub use interaction::{Interaction, InteractionKind, MAX_ITEM_BYTES, Recent};
pub use page::SnapshotError;
pub use settings::{RecommenderSettings, SettingsError, Weights};
pub use snapshot::{ChangedPages, PartitionSnapshot};
