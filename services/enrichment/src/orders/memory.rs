//! The orders of one partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tidemill_domain::Timestamp;

use super::{
    Order, OrderChange, OrderContext, OrderKey, OrderStatement, StatementKind,
    effects::{EffectPlace, PastEffects},
    settled::{EventStatement, KeptChanges, RememberedOrder, SettledOrders, Told},
};
use crate::duplicates::EventKey;

/// Orders that have not come, and of which something was told, at most in a
/// partition. What is told of a further one is counted, and not remembered: the
/// change says so.
const MAX_WAITING_ORDERS: usize = 100_000;

/// How often, by the log's clock, orders that are too old are deleted. They count
/// for nothing before that.
const FORGET_EVERY_MILLIS: i64 = 60_000;

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
    /// store knows of the orders that it was asked for, `past` what events of history
    /// did before.
    pub(crate) fn settle(
        &self,
        ingested_at: Timestamp,
        statements: Vec<EventStatement<'_>>,
        stored: &HashMap<OrderKey, RememberedOrder>,
        past: &PastEffects,
    ) -> SettledOrders {
        let mut settled = SettledOrders::default();
        for EventStatement { place, event, told, statement, context } in statements {
            let mut change = match (told, past.of(event)) {
                (Told::Perhaps | Told::Again, Some(change)) => change.clone(),
                (Told::Again, None) => {
                    settled.changes.insert(place, change_alone(statement, context));
                    continue;
                }
                (Told::First | Told::Perhaps, _) => {
                    let (change, is_kept) = self.change(ingested_at, statement, context, stored, &mut settled.orders);
                    if !is_kept {
                        settled.changes.insert(place, change);
                        continue;
                    }
                    settled.events.push((event, place));
                    change
                }
            };
            if statement.kind != StatementKind::Placed {
                settled.lines.limit(&mut change);
            }
            settled.kept.insert(place, change.clone());
            settled.changes.insert(place, change);
        }
        settled
    }

    /// What a statement does that is told for the first time, and whether that is more
    /// than its event alone tells.
    fn change(
        &self,
        ingested_at: Timestamp,
        statement: &OrderStatement,
        context: OrderContext,
        stored: &HashMap<OrderKey, RememberedOrder>,
        orders: &mut HashMap<OrderKey, RememberedOrder>,
    ) -> (OrderChange, bool) {
        let key = OrderKey::of(&statement.id);
        let known = orders.get(&key).or_else(|| self.changed.get(&key)).or_else(|| stored.get(&key));
        let known = known.filter(|known| known.touched >= self.horizon(ingested_at));
        let touched = known.map_or(ingested_at, |known| known.touched.max(ingested_at));
        let was_told_of = known.is_some();
        let mut order = known.map(|known| known.order.clone()).unwrap_or_default();
        let mut change = order.apply(statement, context);
        if !order.is_placed() && !was_told_of && self.waiting.len() >= MAX_WAITING_ORDERS {
            change.is_unfollowed = !statement.is_unread;
        } else {
            orders.insert(key, RememberedOrder { touched, order });
        }
        (change, statement.kind != StatementKind::Placed || was_told_of)
    }

    /// Where it stands what these events did, as far as that is not stored yet.
    pub(crate) fn unsaved_effects(
        &self,
        events: &BTreeSet<EventKey>,
        since: Timestamp,
    ) -> BTreeMap<EventKey, EffectPlace> {
        let batches = self.kept.iter().filter(|kept| kept.ingested_at >= since);
        let of_batch = |kept: &KeptChanges| {
            let raw_seq = kept.raw_seq;
            kept.events.clone().into_iter().map(move |(event, place)| (event, EffectPlace { raw_seq, place }))
        };
        batches.flat_map(of_batch).filter(|(event, _)| events.contains(event)).collect()
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
            self.kept.push(KeptChanges { raw_seq, ingested_at, changes: settled.kept, events: settled.events });
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
