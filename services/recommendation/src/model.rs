//! What this replica has learnt: the index over all partitions, and what is known of
//! products.
//!
//! It is a function of the log and of the erasures: each partition is learnt in the
//! order of the log, and how partitions take turns makes no difference.

mod chart_places;
mod charts;
mod known_items;
mod patience;
mod state;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError},
    thread,
    time::{Duration, Instant},
};

use tidemill_domain::{Partition, Timestamp};
use tidemill_recommender::{ChangedPages, Index, PartitionSnapshot, RecommenderSettings, SettingsError, SnapshotError};

pub(crate) use self::{
    charts::Charts,
    state::{LearntPlace, ModelState},
};
use self::{charts::KeptCharts, patience::LearnerPatience};
use crate::{
    learning::LearntBatch,
    rules::RulesInUse,
    store::{Erasure, PageChanges, StoredItem, StoredPartition},
};

/// Events that are learnt before who answers has a turn.
const LEARNT_AT_ONCE: usize = 64;
/// How often who learns looks whether nobody answers.
const LOOK: Duration = Duration::from_micros(100);

/// What answers are made of, shared by those who learn and those who answer.
#[derive(Debug)]
pub(crate) struct LearntModel {
    state: RwLock<ModelState>,
    charts: KeptCharts,
    /// Held by who learns a batch, and by who takes pages: there are none in the midst of a
    /// batch.
    batches: Mutex<LearnerPatience>,
}

impl LearntModel {
    /// Nothing is learnt yet.
    pub(crate) fn new(settings: RecommenderSettings, most_items: usize) -> Result<Self, SettingsError> {
        let state = ModelState::new(settings, most_items)?;
        Ok(Self {
            state: RwLock::new(state),
            charts: KeptCharts::default(),
            batches: Mutex::new(LearnerPatience::new(Instant::now())),
        })
    }

    /// The same, without charting what these rules exclude.
    pub(crate) fn by(mut self, rules: &RulesInUse) -> Self {
        self.charts.rules = rules.clone();
        self
    }

    /// As it is; nothing is learnt meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, ModelState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ModelState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same between two answers, while there is patience. Whoever waits for the lock as
    /// such holds up all who come to answer behind it, until the slowest of those who answer
    /// now is done.
    #[allow(clippy::disallowed_methods, reason = "it runs beside the threads of the runtime")]
    fn write_between_answers(&self, patience: &mut LearnerPatience) -> RwLockWriteGuard<'_, ModelState> {
        let until = patience.until(Instant::now());
        loop {
            let now = Instant::now();
            match self.state.try_write() {
                Err(TryLockError::WouldBlock) if now < until => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    patience.spend(now);
                    return self.write();
                }
                Ok(state) => {
                    patience.spend(now);
                    return state;
                }
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            }
        }
    }

    /// Learns the next batch of a partition, up to which there is nothing else to learn. It
    /// blocks its thread.
    pub(crate) fn learn(&self, partition: Partition, batch: &LearntBatch) {
        let mut patience = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_forgotten = false;
        for events in batch.events.chunks(LEARNT_AT_ONCE) {
            let state = &mut *self.write_between_answers(&mut patience);
            has_forgotten |= state.forget_tied(batch, events);
            state.learn_events(partition, batch, events);
            state.tell(batch, events);
        }
        self.write_between_answers(&mut patience).reach(partition, batch);
        if has_forgotten {
            self.charts.drop_kept();
        }
    }

    /// Forgets visitors, and learns nothing of theirs that was taken in before; those alone of
    /// whom it was not told before, since what they did later may be learnt by now. All of the
    /// erasures up to the last one are told of at once or before.
    pub(crate) fn erase(&self, erasures: &[Erasure]) {
        let mut state = self.write();
        let known = state.erasure();
        let mut has_forgotten = false;
        for erasure in erasures.iter().filter(|erasure| erasure.number > known) {
            has_forgotten |= state.erase(erasure);
        }
        drop(state);
        if has_forgotten {
            self.charts.drop_kept();
        }
    }

    /// The last erasure that was carried out.
    pub(crate) fn erasure(&self) -> u64 {
        self.read().erasure()
    }

    /// Drops what is remembered of erasures of before then.
    pub(crate) fn forget_erasures(&self, before: Timestamp) {
        self.write().forget_erasures(before);
    }

    /// Takes a stored partition in. All erasures must be known. Where it is stored under other
    /// settings, nothing is learnt of it yet: the log is learnt anew.
    pub(crate) fn restore(
        &self,
        partition: Partition,
        stored: StoredPartition,
        erasures: &[Erasure],
    ) -> Result<(), SnapshotError> {
        let state = &mut *self.write();
        if !stored.is_as_stored {
            let anew = LearntPlace { anew_to: stored.floor, ..LearntPlace::default() };
            state.places.insert(partition, anew);
            return Ok(());
        }
        let pages = without(&stored, partition, state.index.settings(), erasures)?;
        state.index.restore(partition, &pages)?;
        let place = state.places.entry(partition).or_default();
        (place.raw_seq, place.newest) = (stored.pages_at, stored.newest);
        for batch in &stored.journal {
            state.learn_events(partition, batch, &batch.events);
            state.reach(partition, batch);
        }
        state.places.entry(partition).or_default().raw_seq = stored.floor;
        Ok(())
    }

    /// Takes in what is known of products.
    pub(crate) fn know(&self, items: Vec<StoredItem>) {
        let state = &mut *self.write();
        items.into_iter().for_each(|stored| state.items.know(stored));
    }

    /// What has changed of a partition since this was last called; or all of it. It blocks
    /// its thread.
    pub(crate) fn take_pages(&self, partition: Partition, are_all: bool) -> PageChanges {
        let mut patience = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *self.write_between_answers(&mut patience);
        let changed = state.index.take_changes(partition);
        let changed = if are_all { all(state.index.snapshot(partition)) } else { changed };
        let place = state.places.get(&partition).copied().unwrap_or_default();
        PageChanges { at: place.raw_seq, newest: place.newest, erasure: state.erasure(), changed, are_all }
    }

    /// What is popular, a moment ago at most.
    pub(crate) fn charts(&self, now: Timestamp) -> Arc<Charts> {
        self.charts.get(&self.state, now)
    }

    /// Makes the charts anew, so that who asks need not.
    pub(crate) fn renew_charts(&self, now: Timestamp) {
        self.charts.renew(&self.state, now);
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
    settings: &RecommenderSettings,
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
