//! What an event does to an order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::{Amount, Currency, Timestamp};

/// What an event does to an order. Zeros are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderChange {
    pub(crate) id: String,
    /// Of a change of an order that is known: what is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<OrderContext>,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) shipping: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) tax: Amount,
    /// The event has a shipping that cannot be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_shipping_unread: bool,
    /// The same of tax.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_tax_unread: bool,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) excess: Amount,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<LineChange>,
    /// It refers to an order that is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unknown: bool,
    /// It is in another currency than the order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) differs: bool,
    /// Too much came before the order for this to be remembered: the order will not
    /// take it to its lines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unfollowed: bool,
    /// The event did it before: it is a duplicate, whoever remembers it as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_again: bool,
}

impl OrderChange {
    /// Tells what a refund or cancellation does to all lines as one, under no product.
    /// What could not be read stays a line of its own: it has no amount.
    pub(super) fn in_one_line(&mut self) {
        let (unread, read): (Vec<_>, Vec<_>) = self.lines.drain(..).partition(|line| line.unread);
        self.lines = read.into_iter().reduce(LineChange::and).into_iter().chain(unread.into_iter().take(1)).collect();
    }

    /// The products of lines that are no items of the event.
    pub(crate) fn products_of_order(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| !line.is_item).filter_map(|line| line.product.as_deref())
    }
}

/// Where and when an order was placed, by the words of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderContext {
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ip_country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<Currency>,
}

/// What an event does to a line of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<String>,
    /// It is the item with the same place in the event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_item: bool,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) quantity: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) gross: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) discount: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) refund: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(crate) cancelled: Amount,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unread: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rounded: bool,
}

/// What the events of a batch do to orders, by their places in it.
pub(crate) type BatchChanges = BTreeMap<usize, OrderChange>;

impl LineChange {
    fn and(self, other: Self) -> Self {
        Self {
            product: None,
            is_item: false,
            quantity: self.quantity + other.quantity,
            gross: self.gross + other.gross,
            discount: self.discount + other.discount,
            refund: self.refund + other.refund,
            cancelled: self.cancelled + other.cancelled,
            unread: false,
            rounded: self.rounded || other.rounded,
        }
    }

    /// Money that is given back, and for what is not known.
    pub(super) fn unknown(refund: Amount) -> Self {
        Self { refund, ..Self::default() }
    }

    pub(super) fn unread() -> Self {
        Self { unread: true, ..Self::default() }
    }
}
