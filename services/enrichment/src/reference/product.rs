//! What is known of a product, as it is written.

use serde_json::value::{RawValue, to_raw_value};
use tidemill_events::ItemFacts;

use super::RecordAttributes;

/// What is known of a product, in the form of [`ItemFacts`]. It is written with each event
/// of the product, and made once.
#[derive(Debug)]
pub(crate) struct ProductFacts {
    /// What is counted by alone.
    counted: Box<RawValue>,
    /// All of it, where there is more.
    detailed: Option<Box<RawValue>>,
    /// What the rest takes, roughly.
    pub(crate) detail_bytes: usize,
}

impl ProductFacts {
    pub(crate) fn of(category: String, product: RecordAttributes) -> Self {
        let detail_bytes = written_bytes(&product);
        let counted = ItemFacts { category, product: RecordAttributes::new() };
        let detailed = (!product.is_empty()).then(|| json(&ItemFacts { product, ..counted.clone() }));
        Self { counted: json(&counted), detailed, detail_bytes }
    }

    /// As JSON: with attributes where it is to be detailed.
    pub(crate) fn written(&self, is_detailed: bool) -> &RawValue {
        self.detailed.as_deref().filter(|_| is_detailed).unwrap_or(&self.counted)
    }

    #[cfg(test)]
    pub(super) fn category(&self) -> String {
        serde_json::from_str::<ItemFacts>(self.counted.get()).expect("was written").category
    }
}

/// Texts are always written.
pub(super) fn json(texts: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(texts).unwrap_or_default()
}

/// What attributes take as JSON, roughly: they hold no control characters.
pub(super) fn written_bytes(attributes: &RecordAttributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum()
}
