//! Sealed batches: what they have of keys, and how they are sealed and merged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use moka::sync::Cache;
use tidemill_domain::Partition;
use tidemill_service::Breaker;
use tidemill_store::answered;
use tokio::sync::Semaphore;

use crate::{
    duplicates::{Block, BlockName, Doubt, Duplicates, Merge, Run, RunChange, RunEntries, SealedRun, Sightings},
    error::Error,
    store::Store,
};

/// Bytes of blocks that a process keeps: who sends old events once more sends
/// many of one time.
const CACHED_BYTES: u64 = 16 << 20;
/// Blocks that are read at once, to be merged.
const MERGED_AT_ONCE: usize = 64;
/// What a block takes in the cache beside its entries.
const OVERHEAD: usize = 128;

/// The blocks of all partitions: in the store, and those that were read not long
/// ago in memory.
pub(crate) struct Archive {
    store: Arc<Store>,
    breaker: Breaker,
    cache: Cache<(Partition, BlockName), Arc<Block>>,
    /// Merging a million keys takes 60 MB for a moment: one partition at a time does.
    merging: Semaphore,
}

impl Archive {
    pub(crate) fn new(store: Arc<Store>, breaker: Breaker) -> Self {
        let weight = |_: &_, block: &Arc<Block>| u32::try_from(block.bytes() + OVERHEAD).unwrap_or(u32::MAX);
        let cache = Cache::builder().max_capacity(CACHED_BYTES).weigher(weight).build();
        Self { store, breaker, cache, merging: Semaphore::new(1) }
    }

    /// When the keys in doubt were last seen, by the blocks that may hold them.
    pub(crate) async fn sightings(&self, partition: Partition, doubts: &[Doubt]) -> Result<Sightings, Error> {
        let mut sightings = Sightings::default();
        if doubts.is_empty() {
            return Ok(sightings);
        }
        let blocks = self.blocks(partition, doubts.iter().map(|doubt| doubt.block).collect()).await?;
        for Doubt { key, block } in doubts {
            // Only who took the partition over deletes what this memory knows.
            let block = blocks.get(block).ok_or(Error::Superseded(partition))?;
            sightings.add(*key, block);
        }
        Ok(sightings)
    }

    async fn blocks(
        &self,
        partition: Partition,
        names: BTreeSet<BlockName>,
    ) -> Result<HashMap<BlockName, Arc<Block>>, Error> {
        let mut blocks = HashMap::with_capacity(names.len());
        let (mut of_runs, mut of_segments): (Vec<u64>, BTreeMap<u64, Vec<u32>>) = Default::default();
        for name in names {
            match (self.cache.get(&(partition, name)), name) {
                (Some(block), _) => drop(blocks.insert(name, block)),
                (None, BlockName::Run(number)) => of_runs.push(number),
                (None, BlockName::Segment(segment, block)) => of_segments.entry(segment).or_default().push(block),
            }
        }
        let mut read: Vec<(BlockName, Block)> = Vec::new();
        if !of_runs.is_empty() {
            let found = self.breaker.call(answered(self.store.run_blocks(partition, &of_runs))).await?;
            read.extend(found.into_iter().map(|(number, block)| (BlockName::Run(number), Block::Run(block))));
        }
        for (segment, unread) in of_segments {
            let found = self.breaker.call(answered(self.store.blocks(partition, segment, &unread))).await?;
            read.extend(found.into_iter().map(|(name, block)| (name, Block::Segment(block))));
        }
        for (name, block) in read {
            let block = Arc::new(block);
            self.cache.insert((partition, name), block.clone());
            blocks.insert(name, block);
        }
        Ok(blocks)
    }

    /// What the next checkpoint changes in the runs of a partition: what is too much for
    /// the table is sealed, and runs that have become many are merged.
    pub(crate) async fn change(&self, partition: Partition, memory: &Duplicates) -> Result<Option<RunChange>, Error> {
        let mut change =
            RunChange { removed: memory.forgotten().to_vec(), next_block: memory.next_block(), ..RunChange::default() };
        if let Some(sealed) = seal(memory).await {
            change.sealed = Some(sealed.run.span);
            change.next_block = sealed.run.blocks.end();
            change.added.push(sealed);
        }
        let (merges, turn) = (memory.mergeable(), self.merging.try_acquire());
        for merge in merges.into_iter().take_while(|_| turn.is_ok()) {
            let merged = self.merge(partition, memory, &merge, change.next_block).await?;
            let Some(last) = merged.as_ref().and_then(|merged| merged.last()) else { continue };
            change.next_block = last.run.blocks.end();
            change.added.extend(merged.into_iter().flatten());
            change.removed.extend(merge.inputs);
        }
        Ok(Some(change).filter(|change| !(change.added.is_empty() && change.removed.is_empty())))
    }

    async fn merge(
        &self,
        partition: Partition,
        memory: &Duplicates,
        merge: &Merge,
        next_block: u64,
    ) -> Result<Option<Vec<SealedRun>>, Error> {
        let mut entries = merge.entries();
        for run in &merge.inputs {
            self.read(partition, run, &mut entries).await?;
        }
        let (kind, tick_millis) = (merge.into, memory.tick_millis());
        let work = move || kind.merged(entries, tick_millis, next_block);
        Ok(tokio::task::spawn_blocking(work).await.ok().flatten())
    }

    async fn read(&self, partition: Partition, run: &Run, entries: &mut RunEntries) -> Result<(), Error> {
        let mut numbers = run.blocks.first..run.blocks.end();
        while !numbers.is_empty() {
            let some: Vec<u64> = numbers.by_ref().take(MERGED_AT_ONCE).collect();
            let read = self.breaker.call(answered(self.store.run_blocks(partition, &some))).await?;
            // Only who took the partition over deletes what this memory knows.
            if read.len() < some.len() {
                return Err(Error::Superseded(partition));
            }
            read.iter().for_each(|(_, block)| entries.extend(block));
        }
        Ok(())
    }
}

/// What is to be sealed, sorted where it holds nobody up.
async fn seal(memory: &Duplicates) -> Option<SealedRun> {
    let sealable = memory.sealable()?;
    let (tick_millis, next_block) = (memory.tick_millis(), memory.next_block());
    let work = move || RunEntries::of(sealable.span, &sealable.keys).sealed(tick_millis, next_block);
    tokio::task::spawn_blocking(work).await.ok().flatten()
}
