//! All that answers are made of.

use std::collections::BTreeMap;

use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{Index, Interaction, InteractionKind, RecommenderSettings, SettingsError};

use super::known_items::KnownItems;
use crate::{
    learning::{ErasedVisitors, LearntBatch, LearntEvent, VisitTie, VisitorId},
    store::Erasure,
};

/// How far a partition is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LearntPlace {
    /// The last batch of the log.
    pub(crate) raw_seq: u64,
    /// When ingestion took in the last batch; none where that came with the pages.
    pub(crate) ingested_at: Option<Timestamp>,
    /// The newest event time.
    pub(crate) newest: Option<Timestamp>,
    /// The last batch that was kept before, where the index is learnt anew from the log: under other
    /// settings than it is stored under. 0 where it is not.
    pub(crate) anew_to: u64,
}

impl LearntPlace {
    /// Whether it has yet to come to where it was.
    pub(crate) const fn is_behind(&self) -> bool {
        self.raw_seq < self.anew_to
    }
}

/// All that answers are made of.
#[derive(Debug)]
pub(crate) struct ModelState {
    pub(crate) index: Index,
    pub(crate) items: KnownItems,
    pub(crate) places: BTreeMap<Partition, LearntPlace>,
    erased: ErasedVisitors,
    /// The last erasure that was carried out.
    erasure: u64,
    /// How often somebody was forgotten of whom something was known.
    forgotten: u64,
}

impl ModelState {
    /// Nothing is learnt yet.
    pub(super) fn new(settings: RecommenderSettings, most_items: usize) -> Result<Self, SettingsError> {
        Ok(Self {
            index: Index::new(settings)?,
            items: KnownItems::new(most_items),
            places: BTreeMap::new(),
            erased: ErasedVisitors::default(),
            erasure: 0,
            forgotten: 0,
        })
    }

    /// Whether a visitor is forgotten, as far as this batch goes.
    fn is_erased(&self, visitor: VisitorId, batch: &LearntBatch) -> bool {
        self.erased.until(visitor, batch.ingested_at).is_some()
    }

    /// Takes in what events of a batch tell of products.
    pub(super) fn tell(&mut self, batch: &LearntBatch, events: &[LearntEvent]) {
        for event in events {
            if event.visitor().is_none_or(|visitor| !self.is_erased(visitor, batch)) {
                event.items.iter().for_each(|item| self.items.tell(item, batch.raw_seq));
            }
        }
    }

    /// Carries an erasure out. Answers whether anything was known of the visitor.
    pub(super) fn erase(&mut self, erasure: &Erasure) -> bool {
        self.erasure = self.erasure.max(erasure.number);
        self.forget(erasure.visitor, erasure.until)
    }

    /// Forgets visits that events tie to a customer who is forgotten. The partition's owner
    /// has an erasure of each written down, by which the others and those who start forget
    /// them. Answers whether anything was known of any.
    pub(super) fn forget_tied(&mut self, batch: &LearntBatch, events: &[LearntEvent]) -> bool {
        let tied = self.erased.tied(batch.ingested_at, events);
        let forget = |is_known, (visit, tie): (&VisitorId, &VisitTie)| self.forget(*visit, tie.until) || is_known;
        tied.iter().fold(false, forget)
    }

    fn forget(&mut self, visitor: VisitorId, until: Timestamp) -> bool {
        let is_known = self.index.forget(&visitor.text()) > 0;
        self.erased.note(visitor, until);
        self.forgotten += u64::from(is_known);
        is_known
    }

    /// Drops what is remembered of erasures of before then.
    pub(super) fn forget_erasures(&mut self, before: Timestamp) {
        self.erased.drop_before(before);
    }

    /// Learns the next events of a batch of a partition.
    pub(super) fn learn_events(&mut self, partition: Partition, batch: &LearntBatch, events: &[LearntEvent]) {
        for event in events {
            let Some(kind) = event.kind.interest() else { continue };
            let visitor = event.visitor().filter(|visitor| !self.is_erased(*visitor, batch));
            let Some(visitor) = visitor else {
                (0..event.interactions()).for_each(|_| self.index.pass(partition));
                continue;
            };
            let place = self.places.entry(partition).or_default();
            place.newest = place.newest.max(Some(event.at));
            let (visitor, at) = (visitor.text(), event.at);
            let items = event.items.iter().map(|item| &*item.id);
            match kind {
                InteractionKind::Order => self.index.learn_order(partition, &visitor, at, items),
                InteractionKind::View | InteractionKind::Cart => items.for_each(|item| {
                    self.index.learn(&Interaction { partition, visitor: &visitor, item, kind, at });
                }),
            }
        }
    }

    /// All of a batch is learnt.
    pub(super) fn reach(&mut self, partition: Partition, batch: &LearntBatch) {
        let place = self.places.entry(partition).or_default();
        (place.raw_seq, place.ingested_at) = (batch.raw_seq, Some(batch.ingested_at));
    }

    /// The last erasure that was carried out.
    pub(crate) const fn erasure(&self) -> u64 {
        self.erasure
    }

    /// How often somebody was forgotten: what was made of the index before it changed may
    /// tell of them.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// When ingestion took in the newest batch that was learnt since the start, and never later than now;
    /// `None` before one was.
    pub(crate) fn newest_intake(&self, now: Timestamp) -> Option<Timestamp> {
        self.places.values().filter_map(|place| place.ingested_at).max().map(|newest| newest.min(now))
    }

    /// The time of the log: that of the newest event, and never later than now.
    pub(crate) fn log_time(&self, now: Timestamp) -> Timestamp {
        self.places.values().filter_map(|place| place.newest).max().map_or(now, |newest| newest.min(now))
    }
}
