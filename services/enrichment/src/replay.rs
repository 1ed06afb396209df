//! Enrichment for a replay: the same steps as those of the service, over batches that
//! somebody else reads from the log, for a reader in the same process.
//!
//! It has a store of its own. Of the live service it reads the reference data, and
//! nothing else. It publishes nothing: what is no event is left out, and what events claim
//! of customers changes nothing.

use std::sync::Arc;

use tidemill_bus::{Bus, Error as BusError};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{EnrichedBatch, RawBatch};
use tidemill_service::{Ceiling, Context, StartError};
use tidemill_stage::{Disposition, Failure as _, StageFailure};
use tidemill_store::answered;

use crate::{
    Defined,
    batch::{BatchPlace, ParsedBatch},
    config::Config,
    error::Error,
    follow,
    partition::OpenPartition,
    reference::Reference,
    resources::Resources,
    store::Store,
    telemetry::Telemetry,
};

/// Enrichment of a generation.
pub struct ReplayedEnrichment {
    resources: Arc<Resources>,
}

/// A partition of it.
pub struct ReplayedPartition {
    partition: OpenPartition,
    ceiling: Ceiling,
}

impl ReplayedEnrichment {
    /// Opens it: with the settings of the live service, whose reference data are read,
    /// and a store of its own. Of times before `not_before`, the reference data are told
    /// that hold then.
    ///
    /// # Errors
    /// A setting or a definition is wrong, or a store cannot be opened.
    pub async fn open(
        live: &Config,
        store: &tidemill_store::Config,
        not_before: Option<Timestamp>,
        bus: Bus,
        context: Context,
    ) -> Result<Self, StartError> {
        live.validate().map_err(StartError::new)?;
        let Defined { countries, geo, shop, files: _ } = Defined::load(live)?;
        let telemetry = Arc::new(Telemetry::new(&context.registry));
        let known = Store::open_to_read(&live.store, live.shop.currency).await.map_err(StartError::new)?;
        let names = shop.records.clone();
        let reference = Reference::new(Arc::new(known), countries, names, &live.reference, telemetry.clone());
        let reference = Arc::new(reference.with_not_before(not_before));
        reference.refresh().await.map_err(StartError::new)?;
        context.spawn("reference", follow(reference.clone(), context.clone(), live.reference.poll()));
        let store = Arc::new(Store::open(store, live.shop.currency).await.map_err(StartError::new)?);
        let resources = Resources::new(live, (shop, geo), (store, reference), (bus, context), telemetry);
        Ok(Self { resources: Arc::new(resources) })
    }

    /// Has partitions begin behind a batch of the log, those that have not begun.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn begin_behind(&self, partitions: &[Partition], floor: u64) -> Result<(), StageFailure> {
        let Resources { store, store_breaker, .. } = &*self.resources;
        for partition in partitions {
            let begun = store_breaker.call(answered(store.begin_behind(*partition, floor))).await;
            begun.map_err(|error| StageFailure::of(&Error::from(error)))?;
        }
        Ok(())
    }

    /// A partition as it stands in the store.
    ///
    /// # Errors
    /// The store or the log is away, or they do not belong together.
    pub async fn partition(&self, partition: Partition) -> Result<ReplayedPartition, StageFailure> {
        let opened = OpenPartition::restore(partition, self.resources.clone()).await;
        let partition = opened.map_err(|error| failure(&error))?;
        Ok(ReplayedPartition { partition, ceiling: Ceiling::new(self.resources.ceiling) })
    }
}

/// A service waits for the log that it knew. A replay ends: nobody may be there to put one back.
fn failure(error: &Error) -> StageFailure {
    match error {
        Error::Bus(BusError::ForeignLog { .. }) => {
            StageFailure::new(error.code(), Disposition::Fail, error.to_string())
        }
        other => StageFailure::of(other),
    }
}

impl ReplayedPartition {
    /// The last batch that is done.
    pub fn floor(&self) -> u64 {
        self.partition.floor
    }

    /// Enriches the next batch of the log. After an error the partition is of no more use.
    ///
    /// # Errors
    /// The store is away, or too much of the log cannot be read.
    pub async fn next(&mut self, raw_seq: u64, raw: &RawBatch) -> Result<EnrichedBatch, StageFailure> {
        self.enrich(raw_seq, raw).await.map_err(|error| StageFailure::of(&error))
    }

    async fn enrich(&mut self, raw_seq: u64, raw: &RawBatch) -> Result<EnrichedBatch, Error> {
        let partition = &mut self.partition;
        let resources = partition.resources.clone();
        let (batch, unreadable) = ParsedBatch::parse(raw_seq, raw, &resources.shop);
        let dead = unreadable.len() as u64;
        self.ceiling.admit(batch.len() as u64 + dead, dead)?;
        let batch = partition.mark(batch).await?;
        let mut orders = partition.settle(&batch).await?;
        let batch = batch.settled(std::mem::take(&mut orders.changes));
        let place = BatchPlace { raw_seq, raw_prev: partition.floor, remade: None };
        let enriched = partition.join(&batch, place, None).await?;
        partition.floor = raw_seq;
        partition.orders.commit(raw_seq, raw.ingested_at, orders);
        Ok(enriched.message)
    }

    /// Stores what was done since the last checkpoint. It goes behind that of who has
    /// read the batches: what is done once more gives the same batches.
    ///
    /// # Errors
    /// The store is away, or another program has the generation.
    pub async fn checkpoint(&mut self) -> Result<(), StageFailure> {
        self.partition.checkpoint().await.map_err(|error| StageFailure::of(&error))?;
        self.partition.report();
        Ok(())
    }
}
