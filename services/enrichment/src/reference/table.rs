//! Histories in memory.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{RecordKind, history::History};

/// Even what nobody changed is read again after this long.
const KEPT: Duration = Duration::from_secs(600);
/// How long it is remembered that an id is unknown: a miss must not crowd out
/// a find.
const MISS_KEPT: Duration = Duration::from_secs(30);

/// The histories that a batch needs, by id.
pub(crate) type FoundHistories<'a, T> = HashMap<&'a str, Arc<History<T>>, RandomState>;
/// Ids that a batch needs.
pub(crate) type Ids<'a> = HashSet<&'a str, RandomState>;

/// The things of one kind, as far as they are in memory. One that is not known
/// is there too, without a history.
pub(super) struct Table<T> {
    pub(super) kind: RecordKind,
    /// Whether the store has anything of the kind.
    pub(super) populated: AtomicBool,
    /// Entries of a generation at most.
    half: usize,
    generations: RwLock<TableGenerations<T>>,
}

/// When the young are half of all that may be kept, they become the old, and those that
/// were old are forgotten. What is used meanwhile is young again: so what is used often
/// stays, whatever else comes.
struct TableGenerations<T> {
    young: KeptEntries<T>,
    old: KeptEntries<T>,
}

type KeptEntries<T> = HashMap<Box<str>, KeptEntry<T>, RandomState>;

struct KeptEntry<T> {
    until: Instant,
    history: Arc<History<T>>,
}

impl<T> Table<T> {
    pub(super) fn new(kind: RecordKind, entries: u64) -> Self {
        let half = usize::try_from(entries / 2).unwrap_or(usize::MAX).max(1);
        let generations = RwLock::new(TableGenerations { young: KeptEntries::default(), old: KeptEntries::default() });
        Self { kind, populated: AtomicBool::new(false), half, generations }
    }

    /// Finds what is in memory; answers the ids of what is not.
    pub(super) fn find<'a>(&self, ids: Ids<'a>, now: Instant, found: &mut FoundHistories<'a, T>) -> Vec<&'a str> {
        let (mut missing, mut used) = (Vec::new(), Vec::new());
        let generations = self.read();
        for id in ids {
            let young = generations.young.get(id);
            let entry = young.or_else(|| generations.old.get(id)).filter(|entry| entry.until > now);
            match entry {
                Some(entry) => drop(found.insert(id, entry.history.clone())),
                None => missing.push(id),
            }
            if young.is_none() && entry.is_some() {
                used.push(id);
            }
        }
        drop(generations);
        if !used.is_empty() {
            let mut generations = self.write();
            for id in used {
                // It may have changed meanwhile, and be gone.
                if let Some((id, entry)) = generations.old.remove_entry(id) {
                    generations.keep(self.half, id, entry);
                }
            }
        }
        missing
    }

    /// Takes in what was read just now.
    pub(super) fn insert(&self, read: &[(&str, Arc<History<T>>)], now: Instant) {
        let mut generations = self.write();
        for (id, history) in read {
            let kept = if history.is_empty() { MISS_KEPT } else { KEPT };
            generations.keep(self.half, (*id).into(), KeptEntry { until: now + kept, history: history.clone() });
        }
    }

    pub(super) fn changed(&self, id: &str) {
        self.populated.store(true, Ordering::Release);
        let mut generations = self.write();
        generations.young.remove(id);
        generations.old.remove(id);
    }

    pub(super) fn all_changed(&self) {
        self.populated.store(true, Ordering::Release);
        let mut generations = self.write();
        generations.young.clear();
        generations.old.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, TableGenerations<T>> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, TableGenerations<T>> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> TableGenerations<T> {
    fn keep(&mut self, half: usize, id: Box<str>, entry: KeptEntry<T>) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
    }
}
