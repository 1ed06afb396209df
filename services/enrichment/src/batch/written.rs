//! The member `enriched`, as it is written: in the form of [`Enrichment`], and borrowed
//! from what is known. Member for member they are alike; the tests hold that.
//!
//! [`Enrichment`]: tidemill_events::Enrichment

#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tidemill_domain::{Amount, Currency};
use tidemill_events::{ItemFacts, QualityFlag};

use crate::{
    duplicates::EventKey,
    orders::{LineChange, OrderChange},
    reference::ProductFacts,
};

/// What is written where no region is known.
pub(super) const UNKNOWN: &str = "Unknown";

/// See [`tidemill_events::Enrichment`].
#[derive(Serialize)]
pub(super) struct WrittenEnrichment<'b> {
    pub(super) refdata: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) duplicate: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) repeated: bool,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "key")]
    pub(super) about: Option<EventKey>,
    pub(super) region: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip_country: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) currency: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<&'b RawValue>,
    #[serde(skip_serializing_if = "WrittenItems::is_empty")]
    pub(super) items: WrittenItems<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<WrittenOrder<'b>>,
    #[serde(skip_serializing_if = "WrittenLines::is_empty")]
    pub(super) lines: WrittenLines<'b>,
    #[serde(skip_serializing_if = "Quality::is_empty")]
    pub(super) quality: Quality,
}

fn key<S: Serializer>(key: &Option<EventKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => serializer.collect_str(key),
        None => serializer.serialize_none(),
    }
}

/// What was missing.
#[derive(Clone, Copy)]
pub(super) struct Quality(pub(super) [(bool, QualityFlag); 9]);

impl Quality {
    /// The flags that hold, in their order.
    pub(super) fn flags(&self) -> impl Iterator<Item = QualityFlag> {
        self.0.iter().filter(|(is_missing, _)| *is_missing).map(|(_, flag)| *flag)
    }

    fn is_empty(&self) -> bool {
        self.flags().next().is_none()
    }
}

impl Serialize for Quality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.flags())
    }
}

/// The product of each item.
pub(super) struct WrittenItems<'b> {
    pub(super) facts: &'b [Option<&'b ProductFacts>],
    pub(super) is_detailed: bool,
}

impl WrittenItems<'_> {
    const fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

impl Serialize for WrittenItems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.facts.iter().map(|facts| WrittenItem::of(*facts, self.is_detailed)))
    }
}

/// See [`tidemill_events::ItemFacts`].
#[derive(Serialize)]
#[serde(untagged)]
enum WrittenItem<'b> {
    Known(&'b RawValue),
    Unknown { category: &'static str },
}

impl<'b> WrittenItem<'b> {
    fn of(facts: Option<&'b ProductFacts>, is_detailed: bool) -> Self {
        match facts {
            Some(facts) => Self::Known(facts.written(is_detailed)),
            None => Self::Unknown { category: ItemFacts::UNKNOWN_CATEGORY },
        }
    }
}

/// See [`tidemill_events::OrderFacts`].
#[derive(Serialize)]
pub(super) struct WrittenOrder<'b> {
    id: &'b str,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    shipping: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    tax: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    excess: Amount,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shipping_unread: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tax_unread: bool,
}

impl<'b> WrittenOrder<'b> {
    pub(super) fn of(change: &'b OrderChange) -> Self {
        Self {
            id: &change.id,
            shipping: change.shipping,
            tax: change.tax,
            excess: change.excess,
            shipping_unread: change.is_shipping_unread,
            tax_unread: change.is_tax_unread,
        }
    }
}

/// The lines of an order, and the product of each.
pub(super) struct WrittenLines<'b> {
    pub(super) changes: &'b [LineChange],
    pub(super) facts: &'b [Option<&'b ProductFacts>],
    pub(super) is_detailed: bool,
}

impl WrittenLines<'_> {
    const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Serialize for WrittenLines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lines = self.changes.iter().zip(self.facts);
        serializer.collect_seq(lines.map(|(change, facts)| WrittenLineFacts::of(change, *facts, self.is_detailed)))
    }
}

/// See [`tidemill_events::LineFacts`].
#[derive(Serialize)]
struct WrittenLineFacts<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<WrittenItem<'b>>,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    quantity: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    gross: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    discount: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    refund: Amount,
    #[serde(skip_serializing_if = "Amount::is_zero")]
    cancelled: Amount,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unread: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rounded: bool,
}

impl<'b> WrittenLineFacts<'b> {
    /// What is known of an item's product stands with the item.
    fn of(change: &'b LineChange, facts: Option<&'b ProductFacts>, is_detailed: bool) -> Self {
        Self {
            product: change.product.as_deref(),
            facts: (!change.is_item).then(|| WrittenItem::of(facts, is_detailed)),
            quantity: change.quantity,
            gross: change.gross,
            discount: change.discount,
            refund: change.refund,
            cancelled: change.cancelled,
            unread: change.unread,
            rounded: change.rounded,
        }
    }
}
