//! What is left of an order.

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use super::{LineChange, LineStatement};

/// What is neither given back nor cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRemains {
    pub(super) lines: Vec<OrderLine>,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) shipping: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) tax: Amount,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) product: Option<String>,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) quantity: Amount,
    /// How many of them came back or were cancelled, as far as it was told.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) returned: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) revenue: Amount,
    /// What is neither given back nor cancelled of it.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) left: Amount,
}

impl OrderLine {
    pub(super) fn new(line: &LineChange) -> Self {
        let revenue = if line.unread { Amount::ZERO } else { line.gross - line.discount };
        Self { product: line.product.clone(), quantity: line.quantity, returned: Amount::ZERO, revenue, left: revenue }
    }

    /// Whether something that comes back is of it.
    pub(super) fn is_of(&self, item: &LineStatement) -> bool {
        self.product.is_some() && self.product == item.product
    }

    /// What so many of it were sold for, where so many have come back before: the
    /// parts add up to the whole.
    pub(super) fn price_of(&self, before: Amount, quantity: Amount, decimals: u32) -> Amount {
        let up_to = |count: Amount| self.revenue.share(count.min(self.quantity), self.quantity, decimals);
        up_to(before + quantity) - up_to(before)
    }
}
