//! Histories in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use super::{RecordKind, history::History};

/// Even what nobody changed is read again after this long.
const KEPT: Duration = Duration::from_secs(600);
/// How long it is remembered that an id is unknown: a miss must not crowd out
/// a find.
const MISS_KEPT: Duration = Duration::from_secs(30);

/// The things of one kind, as far as they are in memory. One that is not known
/// is there too, without a history.
pub(super) struct Table<T> {
    pub(super) kind: RecordKind,
    pub(super) cache: Cache<Box<str>, Arc<History<T>>>,
    /// Whether the store has anything of the kind.
    pub(super) populated: AtomicBool,
}

struct Expiry;

impl<T> moka::Expiry<Box<str>, Arc<History<T>>> for Expiry {
    fn expire_after_create(&self, _: &Box<str>, value: &Arc<History<T>>, _: std::time::Instant) -> Option<Duration> {
        Some(if value.is_empty() { MISS_KEPT } else { KEPT })
    }
}

impl<T: Send + Sync + 'static> Table<T> {
    pub(super) fn new(kind: RecordKind, entries: u64) -> Self {
        let cache = Cache::builder().max_capacity(entries).expire_after(Expiry).build();
        Self { kind, cache, populated: AtomicBool::new(false) }
    }

    pub(super) fn changed(&self, id: &str) {
        self.populated.store(true, Ordering::Release);
        self.cache.invalidate(id);
    }

    pub(super) fn all_changed(&self) {
        self.populated.store(true, Ordering::Release);
        self.cache.invalidate_all();
    }
}
