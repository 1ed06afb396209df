//! What became of the events of a batch.

use tidemill_events::{Enrichment, QualityFlag};

/// How many events became what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchTally {
    pub(crate) enriched: u64,
    pub(crate) duplicate: u64,
    pub(crate) customer_unknown: u64,
    pub(crate) product_unknown: u64,
    pub(crate) country_unknown: u64,
    pub(crate) attribute_unread: u64,
}

impl BatchTally {
    pub(crate) fn add(&mut self, enrichment: &Enrichment) {
        *if enrichment.duplicate { &mut self.duplicate } else { &mut self.enriched } += 1;
        for flag in &enrichment.quality {
            *match flag {
                QualityFlag::CustomerUnknown => &mut self.customer_unknown,
                QualityFlag::ProductUnknown => &mut self.product_unknown,
                QualityFlag::CountryUnknown => &mut self.country_unknown,
                QualityFlag::AttributeUnread => &mut self.attribute_unread,
            } += 1;
        }
    }
}
