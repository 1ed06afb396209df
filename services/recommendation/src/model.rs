//! What this replica has learnt: the index over all partitions, and what is known of
//! products.
//!
//! It is a function of the log and of the erasures: each partition is learnt in the
//! order of the log, and how partitions take turns makes no difference.

mod charts;
mod known_items;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{
    ChangedPages, Index, Interaction, PartitionSnapshot, Settings, SettingsError, SnapshotError,
};

pub(crate) use self::{charts::Charts, known_items::KnownItems};
use crate::{
    learning::{LearntBatch, VisitorId},
    store::{Erasure, PageChanges, StoredItem, StoredPartition},
};

/// How old charts may be: to make them all items are looked at.
const CHARTS_FOR: Duration = Duration::from_millis(500);

/// How far a partition is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LearntPlace {
    /// The last batch of the log.
    pub(crate) raw_seq: u64,
    /// When ingestion took in the last batch that held something to learn.
    pub(crate) ingested_at: Option<Timestamp>,
    /// The newest event time.
    pub(crate) newest: Option<Timestamp>,
}

/// All that answers are made of.
#[derive(Debug)]
pub(crate) struct ModelState {
    pub(crate) index: Index,
    pub(crate) items: KnownItems,
    pub(crate) places: BTreeMap<Partition, LearntPlace>,
    /// Visitors who are forgotten, and until when.
    erased: HashMap<VisitorId, Timestamp>,
    /// The last erasure that was carried out.
    erasure: u64,
}

/// What answers are made of, shared by those who learn and those who answer.
#[derive(Debug)]
pub(crate) struct Model {
    state: RwLock<ModelState>,
    charts: Mutex<Option<(Instant, Arc<Charts>)>>,
}

impl Model {
    /// Nothing is learnt yet.
    pub(crate) fn new(settings: Settings, most_items: usize) -> Result<Self, SettingsError> {
        let state = ModelState {
            index: Index::new(settings)?,
            items: KnownItems::new(most_items),
            places: BTreeMap::new(),
            erased: HashMap::new(),
            erasure: 0,
        };
        Ok(Self { state: RwLock::new(state), charts: Mutex::new(None) })
    }

    /// As it is; nothing is learnt meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, ModelState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ModelState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns the next batch of a partition, up to which there is nothing else to learn.
    pub(crate) fn learn(&self, partition: Partition, batch: &LearntBatch) {
        let state = &mut *self.write();
        state.learn(partition, batch);
        let told = |visitor| state.erased.get(&visitor).is_none_or(|until| *until < batch.ingested_at);
        for event in batch.events.iter().filter(|event| event.visitor().is_none_or(told)) {
            event.items.iter().for_each(|item| state.items.tell(item, batch.raw_seq));
        }
    }

    /// Forgets visitors, and learns nothing of theirs that was taken in before.
    pub(crate) fn erase(&self, erasures: &[Erasure]) {
        let state = &mut *self.write();
        for erasure in erasures.iter().filter(|erasure| erasure.number >= state.erasure) {
            state.index.forget(&erasure.visitor.text());
            let until = state.erased.entry(erasure.visitor).or_insert(erasure.until);
            *until = erasure.until.max(*until);
            state.erasure = erasure.number;
        }
    }

    /// The last erasure that was carried out.
    pub(crate) fn erasure(&self) -> u64 {
        self.read().erasure()
    }

    /// Drops what is remembered of erasures of before then.
    pub(crate) fn forget_erasures(&self, before: Timestamp) {
        self.write().erased.retain(|_, until| *until >= before);
    }

    /// Takes a stored partition in. All erasures must be known.
    pub(crate) fn restore(
        &self,
        partition: Partition,
        stored: StoredPartition,
        erasures: &[Erasure],
    ) -> Result<(), SnapshotError> {
        let state = &mut *self.write();
        let pages = without(&stored, partition, state.index.settings(), erasures)?;
        state.index.restore(partition, &pages)?;
        let place = state.places.entry(partition).or_default();
        (place.raw_seq, place.newest) = (stored.pages_at, stored.newest);
        stored.journal.iter().for_each(|batch| state.learn(partition, batch));
        state.places.entry(partition).or_default().raw_seq = stored.floor;
        Ok(())
    }

    /// Takes in what is known of products.
    pub(crate) fn know(&self, items: Vec<StoredItem>) {
        let state = &mut *self.write();
        items.into_iter().for_each(|stored| state.items.know(stored));
    }

    /// What has changed of a partition since this was last called; or all of it.
    pub(crate) fn take_pages(&self, partition: Partition, are_all: bool) -> PageChanges {
        let state = &mut *self.write();
        let changed = state.index.take_changes(partition);
        let changed = if are_all { all(state.index.snapshot(partition)) } else { changed };
        let place = state.places.get(&partition).copied().unwrap_or_default();
        PageChanges { at: place.raw_seq, newest: place.newest, erasure: state.erasure, changed, are_all }
    }

    /// What is popular, a moment ago at most.
    pub(crate) fn charts(&self, now: Timestamp) -> Arc<Charts> {
        let mut kept = self.charts.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((made, charts)) if made.elapsed() < CHARTS_FOR => charts.clone(),
            _ => {
                let charts = Arc::new(Charts::of(&self.read(), now));
                *kept = Some((Instant::now(), charts.clone()));
                charts
            }
        }
    }
}

impl ModelState {
    fn learn(&mut self, partition: Partition, batch: &LearntBatch) {
        let place = self.places.entry(partition).or_default();
        place.raw_seq = batch.raw_seq;
        if batch.events.is_empty() {
            return;
        }
        place.ingested_at = Some(batch.ingested_at);
        for event in &batch.events {
            let Some(kind) = event.kind.interest() else { continue };
            let is_erased = |visitor| self.erased.get(&visitor).is_some_and(|until| *until >= batch.ingested_at);
            let Some(visitor) = event.visitor().filter(|visitor| !is_erased(*visitor)) else {
                (0..event.interactions()).for_each(|_| self.index.pass(partition));
                continue;
            };
            place.newest = place.newest.max(Some(event.at));
            let visitor = visitor.text();
            for item in &event.items {
                self.index.learn(&Interaction { partition, visitor: &visitor, item: &item.id, kind, at: event.at });
            }
        }
    }

    /// The last erasure that was carried out.
    pub(crate) const fn erasure(&self) -> u64 {
        self.erasure
    }

    /// The time of the log: that of the newest event, and never later than now.
    pub(crate) fn log_time(&self, now: Timestamp) -> Timestamp {
        self.places.values().filter_map(|place| place.newest).max().map_or(now, |newest| newest.min(now))
    }
}

fn all(snapshot: PartitionSnapshot) -> ChangedPages {
    let pages = snapshot.pages.into_iter().map(|(page, body)| (page, Some(body))).collect();
    ChangedPages { learnt: snapshot.learnt, pages }
}

/// A partition's pages without visitors who were forgotten since they were written: of
/// this partition alone, since others may hold what such a visitor did later.
fn without(
    stored: &StoredPartition,
    partition: Partition,
    settings: &Settings,
    erasures: &[Erasure],
) -> Result<PartitionSnapshot, SnapshotError> {
    let mut newer = erasures.iter().filter(|erasure| erasure.number > stored.erasure).peekable();
    let Ok(mut index) = Index::new(settings.clone()) else { return Ok(stored.pages.clone()) };
    if newer.peek().is_none() {
        return Ok(stored.pages.clone());
    }
    index.restore(partition, &stored.pages)?;
    for erasure in newer {
        index.forget(&erasure.visitor.text());
    }
    Ok(index.snapshot(partition))
}
