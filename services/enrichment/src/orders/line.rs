//! A line of an order.

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use super::{LineChange, LineStatement};

/// Decimals of an amount at most.
const FINEST: u32 = 12;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) product: Option<String>,
    /// Tells the variants of a product apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sku: Option<String>,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) quantity: Amount,
    /// How many of them an earlier release knew to have come back. Since then
    /// `ProductReturns` knows.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) returned: Amount,
    /// Before any discount. Lines of an earlier release have none.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) gross: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) revenue: Amount,
    /// What is neither given back nor cancelled of it.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) left: Amount,
}

impl OrderLine {
    pub(super) fn new(line: &LineChange, sku: Option<&str>) -> Self {
        let revenue = if line.unread { Amount::ZERO } else { line.gross - line.discount };
        Self {
            product: line.product.clone(),
            sku: sku.map(Into::into),
            quantity: line.quantity,
            returned: Amount::ZERO,
            gross: line.gross,
            revenue,
            left: revenue,
        }
    }

    /// Whether something that comes back is of its product.
    pub(super) fn is_of(&self, item: &LineStatement) -> bool {
        self.product.is_some() && self.product == item.product
    }

    /// How many are left by what an earlier release knew.
    pub(super) fn pieces(&self) -> Amount {
        (self.quantity - self.returned).max(Amount::ZERO)
    }

    /// What so many of its pieces were sold for, behind so many others. Only sums of
    /// these are rounded.
    pub(super) fn price_of(&self, before: Amount, pieces: Amount) -> Amount {
        part_of(self.revenue, self.quantity, self.returned + before, pieces)
    }
}

/// What so many of these pieces come to, behind so many others: the parts add up to
/// the whole.
pub(super) fn part_of(value: Amount, of: Amount, before: Amount, pieces: Amount) -> Amount {
    let up_to = |count: Amount| value.share(count.min(of), of, FINEST);
    up_to(before + pieces) - up_to(before)
}

/// What one of these pieces comes to, to compare prices.
pub(super) fn unit_price(value: Amount, pieces: Amount) -> Amount {
    value.share(Amount::from_int(1), pieces, FINEST)
}
