//! What is stored of products already.
//!
//! Every event tells what is known of its products, nearly always the same. A row is written
//! where that is something else, where it comes of other reference data, and a few times a day,
//! since what is long not told of is deleted. So a row's batch may be older than the last one
//! that told of the product, and what another partition told in between is known by the version
//! of its reference data.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidemill_domain::{Partition, Timestamp};

use crate::learning::{LearntBatch, LearntItem};

/// After how long a row is written again that says the same. It is less than the least for
/// which a product is kept.
const AGAIN: i64 = 6 * 3_600_000;
/// Products of a partition that are remembered at most.
const MOST: usize = 200_000;

/// What is to be written of a product.
#[derive(Debug)]
pub(super) struct ItemNews<'b> {
    /// The last batch that told of it, or 0 where none did; and when that was taken in.
    pub(super) raw_seq: u64,
    pub(super) told_at: Timestamp,
    pub(super) item: &'b LearntItem,
    /// All of what is told, and of which version and hours.
    mark: u64,
}

/// Of each partition the claim under which rows were written, and by a hash of a product's id
/// that of what was written.
#[derive(Debug, Default)]
pub(super) struct ItemsInStore {
    partitions: Mutex<BTreeMap<Partition, ItemsOfClaim>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct ItemsOfClaim {
    epoch: i64,
    marks: HashMap<u64, u64>,
}

impl ItemsInStore {
    /// What is to be written of products, by their ids. Where several events tell of one, the
    /// last counts, and those that tell nothing only where no other has told.
    pub(super) fn news<'b>(
        &self,
        partition: Partition,
        epoch: i64,
        batches: &'b [LearntBatch],
    ) -> BTreeMap<&'b str, ItemNews<'b>> {
        let mut told: BTreeMap<&str, (&LearntBatch, &LearntItem)> = BTreeMap::new();
        for batch in batches {
            for item in batch.events.iter().flat_map(|event| &event.items) {
                if item.is_told {
                    told.insert(&item.id, (batch, item));
                } else {
                    told.entry(&item.id).or_insert((batch, item));
                }
            }
        }
        let mut partitions = self.partitions();
        let known = partitions.entry(partition).or_default();
        // Under another claim somebody else may have written since.
        if known.epoch != epoch {
            *known = ItemsOfClaim { epoch, marks: HashMap::new() };
        }
        let news = told.into_iter().map(|(id, (batch, item))| {
            let mark = self.mark(batch, item);
            let raw_seq = if item.is_told { batch.raw_seq } else { 0 };
            (id, ItemNews { raw_seq, told_at: batch.ingested_at, item, mark })
        });
        let is_new = |(id, news): &(&str, ItemNews<'_>)| match known.marks.get(&self.hasher.hash_one(id)) {
            Some(mark) => news.item.is_told && *mark != news.mark,
            None => true,
        };
        news.filter(is_new).collect()
    }

    /// They are stored.
    pub(super) fn note(&self, partition: Partition, epoch: i64, news: &BTreeMap<&str, ItemNews<'_>>) {
        let mut partitions = self.partitions();
        let Some(known) = partitions.get_mut(&partition).filter(|known| known.epoch == epoch) else { return };
        // Then all of them are written once more.
        if known.marks.len() + news.len() > MOST {
            known.marks.clear();
        }
        known.marks.extend(news.iter().map(|(id, news)| (self.hasher.hash_one(id), news.mark)));
    }

    fn mark(&self, batch: &LearntBatch, item: &LearntItem) -> u64 {
        let hours = batch.ingested_at.millis().div_euclid(AGAIN);
        self.hasher.hash_one((batch.refdata, hours, &item.category, &item.attributes))
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<Partition, ItemsOfClaim>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
