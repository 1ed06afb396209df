//! What sealed batches have of keys that they may hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use moka::sync::Cache;
use tidemill_domain::Partition;
use tidemill_service::Breaker;
use tidemill_store::answered;

use crate::{
    duplicates::{Block, BlockName, Doubt, Sightings},
    error::Error,
    store::Store,
};

/// Bytes of blocks that a process keeps: who sends old events once more sends
/// many of one time.
const CACHED_BYTES: u64 = 32 << 20;
/// What a block takes in the cache beside its entries.
const OVERHEAD: usize = 96;

/// The blocks of all partitions: in the store, and those that were read not long
/// ago in memory.
pub(crate) struct Archive {
    store: Arc<Store>,
    breaker: Breaker,
    cache: Cache<(Partition, BlockName), Arc<Block>>,
}

impl Archive {
    pub(crate) fn new(store: Arc<Store>, breaker: Breaker) -> Self {
        let weight = |_: &_, block: &Arc<Block>| u32::try_from(block.as_bytes().len() + OVERHEAD).unwrap_or(u32::MAX);
        Self { store, breaker, cache: Cache::builder().max_capacity(CACHED_BYTES).weigher(weight).build() }
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
        let mut unread: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for name in names {
            match self.cache.get(&(partition, name)) {
                Some(block) => drop(blocks.insert(name, block)),
                None => unread.entry(name.segment).or_default().push(name.block),
            }
        }
        for (segment, unread) in unread {
            let read = self.breaker.call(answered(self.store.blocks(partition, segment, &unread))).await?;
            for (name, block) in read {
                let block = Arc::new(block);
                self.cache.insert((partition, name), block.clone());
                blocks.insert(name, block);
            }
        }
        Ok(blocks)
    }
}
