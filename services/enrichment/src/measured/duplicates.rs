//! For benches: the memory of duplicates, and its store.

use std::{collections::HashMap, sync::Arc};

use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_service::Context;

use crate::{
    archive::Archive,
    config::DuplicatesConfig,
    duplicates::{Duplicates, EventKey, EventKeys, Mark, RunChange, Sightings},
    store::{OrdersCheckpoint, PartitionCheckpoint, Store},
};

/// A partition that does nothing but tell duplicates.
pub struct MeasuredDuplicates {
    partition: Partition,
    config: DuplicatesConfig,
    store: Arc<Store>,
    archive: Archive,
    memory: Duplicates,
    floor: u64,
    raw_seq: u64,
    events: Vec<EventKeys>,
    older: Sightings,
    runs: Option<RunChange>,
}

/// How much it remembers.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredSize {
    /// Keys in the store.
    pub sealed_keys: u64,
    /// Their runs.
    pub runs: usize,
    /// What the filters take in memory.
    pub filter_bytes: usize,
    /// How far back it reaches.
    pub span_millis: i64,
}

#[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
impl MeasuredDuplicates {
    /// Opens the partition as the service does.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn open(url: &str, partition: Partition, config: DuplicatesConfig) -> Self {
        let store = tidemill_store::Config { url: url.into(), max_connections: 4 };
        let store = Arc::new(Store::open(&store, Currency::EUR).await.expect("opens"));
        let archive = Archive::new(store.clone(), Context::new("enrichment").breaker("store"));
        let (sealed, floor) = (store.sealed(partition).await, store.floor(partition).await.expect("reads"));
        let sealed = sealed.expect("reads");
        let batches = store.batches(partition, sealed.last()).await.expect("reads");
        let memory = Duplicates::restore(config.limits(), sealed, batches);
        Self {
            partition,
            config,
            store,
            archive,
            memory,
            floor,
            raw_seq: floor,
            events: Vec::new(),
            older: Sightings::default(),
            runs: None,
        }
    }

    /// Opens it once more, beside this one.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn reopen(&self) -> u64 {
        let sealed = self.store.sealed(self.partition).await.expect("reads");
        let batches = self.store.batches(self.partition, sealed.last()).await.expect("reads");
        Duplicates::restore(self.config.limits(), sealed, batches).size().sealed_keys
    }

    /// The next batch has these events.
    pub fn take(&mut self, ids: impl Iterator<Item = u64>) {
        let mut scratch = Vec::new();
        let mut key = |id: u64| EventKey::of("tidemill-bench", &id.to_string(), &mut scratch);
        self.events = ids.map(|id| EventKeys { event: key(id), business: None }).collect();
    }

    /// Looks up what is sealed; answers how many blocks were to be looked at.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn look_up(&mut self) -> usize {
        let doubts = self.memory.doubts(&self.events);
        self.older = self.archive.sightings(self.partition, &doubts).await.expect("answers");
        doubts.len()
    }

    /// Marks the batch; answers how many duplicates it has.
    pub fn mark(&mut self, clock_millis: i64) -> usize {
        self.raw_seq += 1;
        let clock = Timestamp::saturating_from_millis(clock_millis);
        let marks = self.memory.mark(self.raw_seq, clock, &self.events, &self.older);
        (0..self.events.len()).filter(|index| marks.get(*index) != Mark::New).count()
    }

    /// Seals and merges, as far as it is not written.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn condense(&mut self) {
        self.runs = self.archive.change(self.partition, &self.memory).await.expect("answers");
    }

    /// Writes a checkpoint.
    ///
    /// # Panics
    /// When the store cannot be written.
    pub async fn checkpoint(&mut self) {
        let prune_below = self.memory.prunable();
        let (changed, runs) = (HashMap::new(), self.runs.take());
        let checkpoint = PartitionCheckpoint {
            partition: self.partition,
            from: self.floor,
            to: self.raw_seq,
            batches: self.memory.unsaved(self.raw_seq).collect(),
            runs: runs.as_ref(),
            prune_below,
            orders: OrdersCheckpoint { changed: &changed, kept: &[], forget_before: None, prune_before: None },
        };
        self.store.checkpoint(&checkpoint).await.expect("keeps");
        self.floor = self.raw_seq;
        self.memory.saved();
        if let Some(runs) = runs {
            self.memory.changed(runs);
        }
    }

    /// How much it remembers.
    pub fn size(&self) -> MeasuredSize {
        let size = self.memory.size();
        MeasuredSize {
            sealed_keys: size.sealed_keys,
            runs: size.runs,
            filter_bytes: size.filter_bytes,
            span_millis: size.span_millis,
        }
    }

    /// Bytes on disk of the whole store.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn disk_bytes(&self, is_postgres: bool) -> i64 {
        self.store.disk_bytes(is_postgres).await.expect("answers")
    }
}
