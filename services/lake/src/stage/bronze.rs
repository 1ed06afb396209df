//! A partition of the log, into bronze.

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_bus::{Delivery, Error as BusError, Subscription};
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Durable, RawBatch, StreamName};
use tidemill_lake_tables::{AppId, TablePart, TableRows, tables::BronzeEvent};

use super::task::UnitRecipe;
use crate::{
    bronze::{add_batch, long},
    error::Error,
    shared::Shared,
};

pub(super) struct BronzeRecipe {
    shared: Arc<Shared>,
    app: AppId,
    /// Its own, but while its threads make more of them.
    rows: Arc<Mutex<TableRows<BronzeEvent<'static>>>>,
    bytes: usize,
    /// The last batch that was taken.
    reached: u64,
    /// When ingestion took it in.
    newest: Timestamp,
}

impl BronzeRecipe {
    /// Goes on where the table stands.
    pub(super) async fn open(shared: &Arc<Shared>, partition: Partition) -> Result<(Self, Subscription), Error> {
        let app = AppId::of(&BronzeEvent::TABLE, partition);
        let reached = shared.committers.events.reached(app.clone()).await?.cast_unsigned();
        shared.nats.call(shared.bus.has_reached(StreamName::Raw, reached)).await?;
        let subscription =
            shared.nats.call(shared.bus.subscribe_behind(Durable::LakeBronze(partition), reached)).await?;
        let rows = Arc::new(Mutex::new(TableRows::new()?));
        let recipe = Self { shared: shared.clone(), app, rows, bytes: 0, reached, newest: Timestamp::EPOCH };
        Ok((recipe, subscription))
    }
}

impl UnitRecipe for BronzeRecipe {
    type Message = RawBatch;

    async fn take(&mut self, delivery: &Delivery, batch: RawBatch) -> Result<(), Error> {
        let (bytes, newest, sequence) = (batch.lines.len(), batch.ingested_at, delivery.sequence);
        let rows = Arc::clone(&self.rows);
        let add = async move { add_batch(&mut rows.lock().unwrap_or_else(PoisonError::into_inner), &batch, sequence) };
        self.shared.threads.run(add).await;
        self.bytes += bytes;
        self.reached = self.reached.max(sequence);
        self.newest = self.newest.max(newest);
        Ok(())
    }

    /// Enrichment makes a dead letter of it, so bronze has it among the rejected.
    fn unreadable(&mut self, delivery: &Delivery, error: BusError) -> Result<(), Error> {
        tracing::warn!(app = %self.app, sequence = delivery.sequence, %error, "a batch of RAW is passed over");
        self.reached = self.reached.max(delivery.sequence);
        Ok(())
    }

    fn gathered(&self) -> usize {
        self.bytes
    }

    fn commit(&mut self) -> Result<impl Future<Output = Result<u64, Error>> + Send + 'static, Error> {
        let part = TablePart {
            app: self.app.clone(),
            reaches: long(self.reached),
            rows: self.rows.lock().unwrap_or_else(PoisonError::into_inner).take()?,
        };
        self.bytes = 0;
        let (committer, reached, newest) = (self.shared.committers.events.clone(), self.reached, self.newest);
        Ok(async move {
            committer.commit(part, newest).await?;
            Ok(reached)
        })
    }
}
