//! The orders of one partition.

use std::collections::{HashMap, HashSet};

use tidemill_domain::Timestamp;

use super::{BatchChanges, Order, OrderChange, OrderContext, OrderKey, OrderStatement, StatementKind};

/// Orders that have not come, and of which something was told, at most in a
/// partition. What is told of a further one is counted, and not remembered.
const MAX_WAITING_ORDERS: usize = 100_000;

/// How often, by the log's clock, orders that are too old are deleted. They count
/// for nothing before that.
const FORGET_EVERY_MILLIS: i64 = 60_000;

/// Lines that the refunds and cancellations of one batch change one by one. A refund
/// of a few bytes may change hundreds: what is beyond is told as one line under no
/// product, so that memory, store and message have a bound.
const MAX_CHANGED_LINES: usize = 5_000;

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RememberedOrder {
    /// When ingestion took in the last event about it.
    pub(crate) touched: Timestamp,
    pub(crate) order: Order,
}

/// What is known of a partition's orders beside what is stored: what changed since
/// the last checkpoint.
#[derive(Debug)]
pub(crate) struct OrderMemory {
    /// For how long an order is remembered after the last event about it.
    horizon_millis: i64,
    changed: HashMap<OrderKey, RememberedOrder>,
    /// Orders of which something was told, and that have not come.
    waiting: HashSet<OrderKey>,
    /// What cannot be made again from the events alone, by batch.
    kept: Vec<KeptChanges>,
    /// When ingestion took in the newest batch, and when it stood there as orders
    /// were last forgotten.
    clock: Option<Timestamp>,
    forgotten_at: Option<Timestamp>,
}

/// What the events of a batch did to orders that were there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptChanges {
    pub(crate) raw_seq: u64,
    pub(crate) ingested_at: Timestamp,
    pub(crate) changes: BatchChanges,
}

/// An event's statement, and what is known of the event.
pub(crate) struct EventStatement<'e> {
    /// The event's place in its batch.
    pub(crate) place: usize,
    pub(crate) statement: &'e OrderStatement,
    pub(crate) context: OrderContext,
}

/// What a batch does to orders. It counts from when the batch is published.
#[derive(Debug, Default)]
pub(crate) struct SettledOrders {
    pub(crate) changes: BatchChanges,
    orders: HashMap<OrderKey, RememberedOrder>,
    kept: BatchChanges,
}

impl OrderMemory {
    /// `waiting`: what the store has of orders that have not come.
    pub(crate) fn restore(horizon_millis: i64, waiting: HashSet<OrderKey>) -> Self {
        Self { horizon_millis, changed: HashMap::new(), waiting, kept: Vec::new(), clock: None, forgotten_at: None }
    }

    /// The orders that the store is to be asked for.
    pub(crate) fn unknown<'e>(&self, statements: impl Iterator<Item = &'e OrderStatement>) -> HashSet<OrderKey> {
        let is_needed = |statement: &&OrderStatement| {
            let key = OrderKey::of(&statement.id);
            // An order that nothing was told of needs nothing.
            let may_be_there = statement.kind != StatementKind::Placed || self.waiting.contains(&key);
            may_be_there && !self.changed.contains_key(&key)
        };
        statements.filter(is_needed).map(|statement| OrderKey::of(&statement.id)).collect()
    }

    /// What the events of a batch do, one after the other. `stored` has what the
    /// store knows of the orders that it was asked for.
    pub(crate) fn settle(
        &self,
        ingested_at: Timestamp,
        statements: Vec<EventStatement<'_>>,
        stored: &HashMap<OrderKey, RememberedOrder>,
    ) -> SettledOrders {
        let (mut settled, mut changed_lines) = (SettledOrders::default(), 0);
        for EventStatement { place, statement, context } in statements {
            let key = OrderKey::of(&statement.id);
            let known = settled.orders.get(&key).or_else(|| self.changed.get(&key)).or_else(|| stored.get(&key));
            let known = known.filter(|known| known.touched >= self.horizon(ingested_at));
            let touched = known.map_or(ingested_at, |known| known.touched.max(ingested_at));
            let was_told_of = known.is_some();
            let mut order = known.map(|known| known.order.clone()).unwrap_or_default();
            let mut change = order.apply(statement, context);
            if statement.kind != StatementKind::Placed {
                changed_lines += change.lines.len();
                if changed_lines > MAX_CHANGED_LINES {
                    change.in_one_line();
                }
            }
            if statement.kind != StatementKind::Placed || was_told_of {
                settled.kept.insert(place, change.clone());
            }
            settled.changes.insert(place, change);
            let is_full = !order.is_placed() && !was_told_of && self.waiting.len() >= MAX_WAITING_ORDERS;
            if !is_full {
                settled.orders.insert(key, RememberedOrder { touched, order });
            }
        }
        settled
    }

    /// The batch is published.
    pub(crate) fn commit(&mut self, raw_seq: u64, ingested_at: Timestamp, settled: SettledOrders) {
        for (key, remembered) in settled.orders {
            if remembered.order.is_placed() {
                self.waiting.remove(&key);
            } else {
                self.waiting.insert(key);
            }
            self.changed.insert(key, remembered);
        }
        self.clock = self.clock.max(Some(ingested_at));
        if !settled.kept.is_empty() {
            self.kept.push(KeptChanges { raw_seq, ingested_at, changes: settled.kept });
        }
    }

    /// What is to be stored.
    pub(crate) fn unsaved(&self) -> (&HashMap<OrderKey, RememberedOrder>, &[KeptChanges]) {
        (&self.changed, &self.kept)
    }

    /// Once in a while, the log's time: what is too old by then can be deleted.
    pub(crate) fn forget_at(&mut self) -> Option<Timestamp> {
        let clock = self.clock?;
        let is_due = self.forgotten_at.is_none_or(|at| clock >= at.plus_millis(FORGET_EVERY_MILLIS));
        is_due.then(|| *self.forgotten_at.insert(clock))
    }

    /// What was last touched before then is remembered no more.
    pub(crate) fn horizon(&self, clock: Timestamp) -> Timestamp {
        clock.plus_millis(-self.horizon_millis)
    }

    /// It is stored.
    pub(crate) fn saved(&mut self) {
        self.changed.clear();
        self.kept.clear();
    }
}

/// What an event does to an order of which nothing is remembered: a function of
/// the event.
pub(crate) fn change_alone(statement: &OrderStatement, context: OrderContext) -> OrderChange {
    Order::default().apply(statement, context)
}
