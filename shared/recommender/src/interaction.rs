//! What is learnt from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::{Partition, Timestamp};

/// What a visitor did with an item; a later variant says more of an interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InteractionKind {
    /// Looked at it.
    View,
    /// Put it into the cart.
    Cart,
    /// Bought it.
    Order,
}

/// One visitor with one item, once. An order of three lines is three of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interaction<'a> {
    /// The partition of the log that it stands in.
    pub partition: Partition,
    /// Who: a customer's or a session's id. The index keeps a hash of it.
    pub visitor: &'a str,
    /// What. Ids of more than [`MAX_ITEM_BYTES`] are counted, and not learnt.
    pub item: &'a str,
    /// How.
    pub kind: InteractionKind,
    /// When, by event time.
    pub at: Timestamp,
}

/// How long the id of an item may be.
pub const MAX_ITEM_BYTES: usize = 256;

/// An item of the session that is to be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Which item.
    pub item: String,
    /// What was done with it; the most that was, if several things were.
    pub kind: InteractionKind,
    /// When, the last time.
    pub at: Timestamp,
}
