//! What an event says of an order.

use serde::{Deserialize, Serialize};
use tidemill_domain::{Amount, Currency};

/// What happens to the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatementKind {
    Placed,
    Refunded,
    Cancelled,
}

/// What an event says of an order. What it does not say is `None`; no amount is
/// below zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderStatement {
    pub(crate) kind: StatementKind,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<Currency>,
    /// Something stands where the currency should be, and is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_currency_unknown: bool,
    /// What was ordered, or what of it comes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<LineStatement>,
    /// What is taken off in all: the discounts of lines are part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) discount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shipping: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tax: Option<Amount>,
    /// Of a refund: what is given back in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Amount>,
    /// Shipping stands there and is no amount.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_shipping_unread: bool,
    /// Tax stands there and is no amount.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_tax_unread: bool,
    /// An amount that decides what is meant stands there and is no amount.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unread: bool,
}

/// What it says of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineStatement {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<String>,
    /// Tells the variants of a product apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sku: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quantity: Option<Amount>,
    /// Quantity times price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gross: Option<Amount>,
    /// What is taken off the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) discount: Option<Amount>,
    /// Of a refund: what is given back for the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Amount>,
    /// A number had more than twelve decimals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rounded: bool,
    /// A number stands there and is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unread: bool,
}

impl OrderStatement {
    /// Whether its amounts are in another currency than an order.
    pub(super) fn differs(&self, of_order: Option<Currency>) -> bool {
        self.is_currency_unknown || (self.currency.is_some() && self.currency != of_order)
    }

    /// Whether a refund or cancellation is of all that is left of the order.
    pub(super) fn is_whole(&self) -> bool {
        let says_a_part = !self.lines.is_empty() || self.shipping.is_some() || self.tax.is_some();
        match self.kind {
            StatementKind::Placed => false,
            StatementKind::Refunded => self.amount.is_none() && !says_a_part && !self.is_unread,
            StatementKind::Cancelled => self.lines.is_empty(),
        }
    }

    /// What a refund gives back by its own words, shipping and tax included;
    /// `None` where that takes the order.
    pub(super) fn told(&self) -> Option<Amount> {
        let extras = || self.shipping.unwrap_or_default() + self.tax.unwrap_or_default();
        match self.kind {
            _ if self.is_unread || self.is_whole() => None,
            StatementKind::Placed | StatementKind::Cancelled => None,
            StatementKind::Refunded => self.amount.or_else(|| {
                let read = self.lines.iter().filter(|line| !line.is_unread);
                let lines: Option<Amount> = read.map(LineStatement::told).sum();
                lines.map(|lines| lines + extras())
            }),
        }
    }
}

impl LineStatement {
    /// What is given back for the line by its own words: so much, or else its price
    /// less its discount.
    pub(super) fn told(&self) -> Option<Amount> {
        let paid = |gross: Amount| gross - self.discount.unwrap_or_default().min(gross);
        self.amount.or_else(|| self.gross.map(paid))
    }
}
