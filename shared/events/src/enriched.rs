//! What enrichment knows of an event, for those who read it: nothing is copied, and
//! what they do not look at is skipped.

mod flags;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use tidemill_domain::Currency;

pub use self::flags::QualityFlags;
use crate::{
    borrowed::{self, BorrowedText},
    event::{Conversion, EventRef, QualityFlag},
    order::{LineFacts, OrderFacts},
};

/// An enriched event, of which nothing is copied.
pub type EnrichedEventRef<'a> = EventRef<'a, EnrichmentRef<'a>>;

/// An [`Enrichment`](crate::Enrichment) as it stands in a line. It reads what that
/// reads, and refuses what that refuses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct EnrichmentRef<'a> {
    /// Version of the reference data.
    pub refdata: u64,
    /// It came before, or another event about the same did.
    #[serde(default)]
    pub duplicate: bool,
    /// It is a duplicate by its business key.
    #[serde(default)]
    pub repeated: bool,
    /// What it is about, where its type has a business key.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub about: Option<Cow<'a, str>>,
    /// Sales region.
    #[serde(borrow)]
    pub region: Cow<'a, str>,
    /// Country of the customer.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub country: Option<Cow<'a, str>>,
    /// Country of the sender's address.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub ip_country: Option<Cow<'a, str>>,
    /// Currency of its amounts.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// Units of `base` for one of `currency`.
    #[serde(borrow, default, deserialize_with = "borrowed::optional")]
    pub rate: Option<Cow<'a, str>>,
    /// The shop's base currency, beside `rate`.
    #[serde(default)]
    pub base: Option<Currency>,
    /// Attributes of the customer's profile.
    #[serde(borrow, default)]
    pub customer: Attributes<'a>,
    /// One per item of the event, in its order.
    #[serde(borrow, default)]
    pub items: Vec<ItemRef<'a>>,
    /// The order that the event places or changes.
    #[serde(default)]
    pub order: Option<OrderFacts>,
    /// Its lines.
    #[serde(default)]
    pub lines: Vec<LineFacts>,
    /// What was missing.
    #[serde(default)]
    pub quality: QualityFlags,
}

/// What enrichment knows of one item's product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ItemRef<'a> {
    /// Category.
    #[serde(borrow)]
    pub category: Cow<'a, str>,
    /// Further attributes of the product.
    #[serde(borrow, default)]
    pub product: Attributes<'a>,
}

/// Attributes by name, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Attributes<'a> {
    /// The attribute with this name.
    pub fn get(&self, name: &str) -> Option<&Cow<'a, str>> {
        // Of a name that is there twice, the last one counts, as in a map.
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All of them; of a name that is there twice, the last one counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AttributesVisitor;
        impl<'de> Visitor<'de> for AttributesVisitor {
            type Value = Attributes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Attributes<'de>, M::Error> {
                let mut attributes = Vec::new();
                while let Some((name, value)) = map.next_entry::<BorrowedText<'de>, BorrowedText<'de>>()? {
                    attributes.push((name.0, value.0));
                }
                Ok(Attributes(attributes))
            }
        }
        deserializer.deserialize_map(AttributesVisitor)
    }
}

impl EnrichmentRef<'_> {
    /// How the event's amounts are converted; `None` where nobody knows.
    pub fn conversion(&self) -> Option<Conversion<'_>> {
        let is_rate_unknown = self.quality.has(QualityFlag::RateUnknown);
        Conversion::of(self.base, self.rate.as_deref(), self.currency, is_rate_unknown)
    }
}
