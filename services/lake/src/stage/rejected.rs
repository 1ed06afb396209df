//! Dead letters, into bronze.

use std::sync::Arc;

use tidemill_bus::{Delivery, Error as BusError, Subscription};
use tidemill_domain::Timestamp;
use tidemill_events::{DeadLetter, Durable, StreamName};
use tidemill_lake_tables::{AppId, TablePart, TableRows, tables::RejectedBody};

use super::task::UnitRecipe;
use crate::{
    bronze::{add_letter, long},
    error::Error,
    shared::Shared,
};

pub(super) struct RejectedRecipe {
    shared: Arc<Shared>,
    rows: TableRows<RejectedBody<'static>>,
    bytes: usize,
    /// The last letter that was taken.
    reached: u64,
    /// When it was stored.
    newest: Timestamp,
}

impl RejectedRecipe {
    /// Goes on where the table stands.
    pub(super) async fn open(shared: &Arc<Shared>) -> Result<(Self, Subscription), Error> {
        let reached = shared.committers.rejected.reached(Self::app()).await?.cast_unsigned();
        shared.nats.call(shared.bus.has_reached(StreamName::Dlq, reached)).await?;
        let subscription = shared.nats.call(shared.bus.subscribe_behind(Durable::LakeRejected, reached)).await?;
        let rows = TableRows::new()?;
        Ok((Self { shared: shared.clone(), rows, bytes: 0, reached, newest: Timestamp::EPOCH }, subscription))
    }

    fn app() -> AppId {
        AppId::of_stream(&RejectedBody::TABLE)
    }
}

impl UnitRecipe for RejectedRecipe {
    type Message = DeadLetter;

    async fn take(&mut self, delivery: &Delivery, letter: DeadLetter) -> Result<(), Error> {
        add_letter(&mut self.rows, &letter, delivery.sequence, delivery.stored_at);
        self.bytes += letter.body.len();
        self.reached = self.reached.max(delivery.sequence);
        self.newest = self.newest.max(delivery.stored_at);
        Ok(())
    }

    /// Nobody but the suite writes letters, so it is one of another release.
    fn unreadable(&mut self, delivery: &Delivery, error: BusError) -> Result<(), Error> {
        tracing::warn!(sequence = delivery.sequence, %error, "a dead letter is passed over");
        self.reached = self.reached.max(delivery.sequence);
        Ok(())
    }

    fn gathered(&self) -> usize {
        self.bytes
    }

    fn commit(&mut self) -> Result<impl Future<Output = Result<u64, Error>> + Send + 'static, Error> {
        let part = TablePart { app: Self::app(), reaches: long(self.reached), rows: self.rows.take()? };
        self.bytes = 0;
        let (committer, reached, newest) = (self.shared.committers.rejected.clone(), self.reached, self.newest);
        Ok(async move {
            committer.commit(part, newest).await?;
            Ok(reached)
        })
    }
}
