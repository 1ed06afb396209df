//! What a batch does to orders.

use std::collections::HashMap;

use tidemill_domain::Timestamp;

use super::{BatchChanges, Order, OrderContext, OrderKey, OrderStatement, effects::ChangedLines};
use crate::duplicates::EventKey;

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RememberedOrder {
    /// When ingestion took in the last event about it.
    pub(crate) touched: Timestamp,
    pub(crate) order: Order,
}

/// What the events of a batch did to orders that were there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptChanges {
    pub(crate) raw_seq: u64,
    pub(crate) ingested_at: Timestamp,
    pub(crate) changes: BatchChanges,
    /// The events that did it now, and not before: by name, and place in the batch.
    pub(crate) events: Vec<(EventKey, usize)>,
}

/// An event's statement, and what is known of the event.
pub(crate) struct EventStatement<'e> {
    /// The event's place in its batch.
    pub(crate) place: usize,
    pub(crate) event: EventKey,
    pub(crate) told: Told,
    pub(crate) statement: &'e OrderStatement,
    pub(crate) context: OrderContext,
}

/// Whether a statement is told for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is.
    First,
    /// It is one of history, and may be older than what duplicates are known by.
    Perhaps,
    /// It is a duplicate, and one of history.
    Again,
}

/// What a batch does to orders. It counts from when the batch is published.
#[derive(Debug, Default)]
pub(crate) struct SettledOrders {
    pub(crate) changes: BatchChanges,
    pub(super) orders: HashMap<OrderKey, RememberedOrder>,
    pub(super) kept: BatchChanges,
    pub(super) events: Vec<(EventKey, usize)>,
    pub(super) lines: ChangedLines,
}
