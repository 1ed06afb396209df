//! What became of the events of a batch.

use tidemill_events::{Enrichment, QualityFlag};

/// How many events became what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchTally {
    pub(crate) enriched: u64,
    /// Of either kind.
    pub(crate) duplicate: u64,
    /// Of these, those by their business key.
    pub(crate) repeated: u64,
    pub(crate) customer_unknown: u64,
    pub(crate) product_unknown: u64,
    pub(crate) country_unknown: u64,
}

impl BatchTally {
    pub(crate) fn add(&mut self, enrichment: &Enrichment) {
        *if enrichment.duplicate { &mut self.duplicate } else { &mut self.enriched } += 1;
        self.repeated += u64::from(enrichment.repeated);
        for flag in &enrichment.quality {
            *match flag {
                QualityFlag::CustomerUnknown => &mut self.customer_unknown,
                QualityFlag::ProductUnknown => &mut self.product_unknown,
                QualityFlag::CountryUnknown => &mut self.country_unknown,
            } += 1;
        }
    }
}
