//! What becomes of orders: their lines are remembered for as long as a return
//! may take, and what refers to an order is told of them.
//!
//! An order is known by its id, in its partition. What an event does to it is a
//! function of the log: of the statements about the order up to the event,
//! whatever their order. A refund that comes before its order is counted under
//! no product at first; the order takes it to its lines when it comes.

mod change;
mod claim;
mod effects;
mod key;
mod line;
mod memory;
mod order;
mod product;
mod remains;
mod returns;
mod settled;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use change::{BatchChanges, LineChange, OrderChange, OrderContext};
pub(crate) use effects::{EffectPlace, PastEffects};
pub(crate) use key::OrderKey;
pub(crate) use memory::{OrderMemory, change_alone};
pub(crate) use order::Order;
pub(crate) use settled::{EventStatement, KeptChanges, RememberedOrder, SettledOrders, Told};
pub(crate) use statement::{LineStatement, OrderStatement, StatementKind};
