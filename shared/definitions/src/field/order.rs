//! What of an order can be counted.

use std::borrow::Cow;

use tidemill_domain::Amount;
use tidemill_events::{EnrichmentRef, LineFacts};

/// A member of a line of an order, as an event places or changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineField {
    /// The product's id.
    Product,
    /// How many were ordered.
    Quantity,
    /// Their price before all discounts.
    Gross,
    /// The line's discount and its share of the order's.
    Discount,
    /// Gross less discount.
    Revenue,
    /// What is given back.
    Refund,
    /// What is not to be paid any more.
    Cancelled,
    /// Revenue less refund and cancelled.
    Net,
}

/// A member of an order, as an event places or changes it. An amount that lines
/// have too is the sum of theirs, of those that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderField {
    /// The order's id.
    Id,
    /// Shipping.
    Shipping,
    /// Tax.
    Tax,
    /// Refunds beyond all that was paid.
    Excess,
    /// The sum over its lines.
    Sum(LineField),
}

impl LineField {
    const ALL: [Self; 8] = [
        Self::Product,
        Self::Quantity,
        Self::Gross,
        Self::Discount,
        Self::Revenue,
        Self::Refund,
        Self::Cancelled,
        Self::Net,
    ];

    /// As it is written behind `line.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Quantity => "quantity",
            Self::Gross => "gross",
            Self::Discount => "discount",
            Self::Revenue => "revenue",
            Self::Refund => "refund",
            Self::Cancelled => "cancelled",
            Self::Net => "net",
        }
    }

    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`line.{name}` is not a field: a line has {names}")
        })
    }

    /// What a line has; `None` of an amount that could not be read.
    pub(crate) fn of(self, line: &LineFacts) -> Option<Cow<'_, str>> {
        match self {
            Self::Product => line.product.as_deref().map(Cow::from),
            _ => self.amount(line).map(|amount| amount.to_string().into()),
        }
    }

    /// All that a line has, by name, for conditions.
    pub(crate) fn all_of(line: &LineFacts) -> serde_json::Value {
        named(Self::ALL.iter().map(|field| (field.name(), field.of(line))))
    }

    /// An amount of a line; `None` where it could not be read.
    pub(crate) fn amount(self, line: &LineFacts) -> Option<Amount> {
        let amount = match self {
            Self::Product => return None,
            Self::Quantity => line.quantity,
            Self::Gross => line.gross,
            Self::Discount => line.discount,
            Self::Revenue => line.revenue(),
            Self::Refund => line.refund,
            Self::Cancelled => line.cancelled,
            Self::Net => line.net(),
        };
        (!line.unread).then_some(amount)
    }
}

impl OrderField {
    /// As it is written behind `order.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Shipping => "shipping",
            Self::Tax => "tax",
            Self::Excess => "excess",
            Self::Sum(field) => field.name(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let sums = LineField::ALL.into_iter().filter(|field| *field != LineField::Product).map(Self::Sum);
        [Self::Id].into_iter().chain(sums).chain([Self::Shipping, Self::Tax, Self::Excess])
    }

    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Self::all().find(|field| field.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("`order.{name}` is not a field: an order has {}", names.join(", "))
        })
    }

    /// All that an order has, by name, for conditions; `None` where the event is
    /// about none.
    pub(crate) fn all_of(enrichment: &EnrichmentRef<'_>) -> Option<serde_json::Value> {
        enrichment.order.as_ref()?;
        Some(named(Self::all().map(|field| (field.name(), field.of(enrichment)))))
    }

    /// What an event says of an order; `None` where it is about none, or the amount or
    /// one of a line could not be read.
    pub(crate) fn of<'e>(self, enrichment: &'e EnrichmentRef<'_>) -> Option<Cow<'e, str>> {
        match self {
            Self::Id => Some(enrichment.order.as_ref()?.id.as_str().into()),
            _ if self.is_part(enrichment) => None,
            _ => self.amount(enrichment).map(|amount| amount.to_string().into()),
        }
    }

    /// Whether its amount lacks a line that could not be read.
    pub(crate) fn is_part(self, enrichment: &EnrichmentRef<'_>) -> bool {
        matches!(self, Self::Sum(_)) && enrichment.lines.iter().any(|line| line.unread)
    }

    /// An amount of an order, of the lines that could be read; `None` where the event
    /// is about none, or it or no line could be read.
    pub(crate) fn amount(self, enrichment: &EnrichmentRef<'_>) -> Option<Amount> {
        let order = enrichment.order.as_ref()?;
        match self {
            Self::Id => None,
            Self::Shipping => (!order.shipping_unread).then_some(order.shipping),
            Self::Tax => (!order.tax_unread).then_some(order.tax),
            Self::Excess => Some(order.excess),
            Self::Sum(field) => {
                let lines = &enrichment.lines;
                let is_readable = lines.is_empty() || lines.iter().any(|line| !line.unread);
                is_readable.then(|| lines.iter().filter_map(|line| field.amount(line)).sum())
            }
        }
    }
}

/// Conditions take a number that is a text for a number where they need one.
fn named<'v>(members: impl Iterator<Item = (&'static str, Option<Cow<'v, str>>)>) -> serde_json::Value {
    let members = members.filter_map(|(name, text)| Some((name.to_owned(), text?.into_owned().into())));
    serde_json::Value::Object(members.collect())
}
