//! What became of the events of a batch.

use std::collections::BTreeMap;

use tidemill_events::QualityFlag;

use super::written::WrittenEnrichment;

/// How many events became what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchTally {
    pub(crate) enriched: u64,
    /// Of either kind.
    pub(crate) duplicate: u64,
    /// Of these, those by their business key.
    pub(crate) repeated: u64,
    pub(crate) quality: BTreeMap<QualityFlag, u64>,
}

impl BatchTally {
    pub(super) fn add(&mut self, enrichment: &WrittenEnrichment<'_>) {
        *if enrichment.duplicate { &mut self.duplicate } else { &mut self.enriched } += 1;
        self.repeated += u64::from(enrichment.repeated);
        for flag in enrichment.quality.flags() {
            *self.quality.entry(flag).or_default() += 1;
        }
    }
}
