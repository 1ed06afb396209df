//! What an event does to an order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use crate::item::ItemFacts;

/// An order, as an event places it or changes it. Amounts are in the event's
/// currency; what is zero is left out. What it comes to is the sum of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OrderFacts {
    /// The order's id.
    pub id: String,
    /// Shipping that is paid; below zero where it is given back.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub shipping: Amount,
    /// Tax that is told; below zero where it is given back.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub tax: Amount,
    /// What refunds of the order come to beyond all that was paid for it. It is
    /// in no line.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub excess: Amount,
    /// Shipping is told and could not be read, so `shipping` is not true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shipping_unread: bool,
    /// Tax is told and could not be read, so `tax` is not true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tax_unread: bool,
}

/// A line of an order, as an event places it or changes it. What is zero is left
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LineFacts {
    /// The product's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub product: Option<String>,
    /// What is known of the product; of a line without, it is what is known of the
    /// item with the same place in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ItemFacts")]
    pub facts: Option<ItemFacts>,
    /// How many were ordered.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub quantity: Amount,
    /// Their price, before all that is taken off.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub gross: Amount,
    /// What is taken off: the line's own discount, and its share of the order's.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub discount: Amount,
    /// What is given back.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub refund: Amount,
    /// What is not to be paid any more.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub cancelled: Amount,
    /// An amount could not be read, so none of the line is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// An amount had more than twelve decimals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rounded: bool,
}

impl LineFacts {
    /// What was to be paid for the line when it was placed.
    pub fn revenue(&self) -> Amount {
        self.gross - self.discount
    }

    /// What is left of it: less refunds and cancellations.
    pub fn net(&self) -> Amount {
        self.revenue() - self.refund - self.cancelled
    }
}
